"""`python -m hotline.machine.draft "what changes"`: draft the next version from `hotline.machine.tables`.

The draft is the difference to a fresh database at the newest version; read it before committing
it. Views are not compared: a version that changes one drops it and creates it, with its own SQL.
"""

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

import hotline.machine.tables  # noqa: F401 - what the database is compared with
from base.migrations import config


def main() -> None:
    """Write the draft into `versions/` and print its path."""
    if len(sys.argv) != 2:
        sys.exit(
            'Say in one argument what changes: python -m hotline.machine.draft "add work orders"'
        )
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{Path(folder) / 'draft.db'}")
        with engine.begin() as connection:
            settings = config(connection)
            command.upgrade(settings, "head")
            newest = ScriptDirectory.from_config(settings).get_current_head() or "0"
            command.revision(
                settings, sys.argv[1], autogenerate=True, rev_id=f"{int(newest) + 1:04}"
            )
        engine.dispose()


if __name__ == "__main__":
    main()
