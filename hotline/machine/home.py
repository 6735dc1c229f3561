"""The home is its owner's alone: folders 0700, files 0600.

Each command makes its files so (`umask` in `hotline.cli.main`), and so do the programs that it starts, Asterisk among
them. What an earlier version left open is closed here, at each start: whoever reads a softphone's hash in the database
can register that phone.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import structlog
from sqlalchemy.engine import make_url

from base.settings import Settings

log = structlog.get_logger(__name__)

UMASK = 0o077
"""What every process of ours takes from the rights of a new file."""


def close(settings: Settings) -> None:
    """Take from others what they may do with the home. Says what it did, never raises."""
    closed, refused = 0, []
    for path, mode in open_to_others(settings):
        try:
            path.chmod(mode & ~UMASK)
            closed += 1
        except OSError as error:
            refused.append((path, error))
    if closed:
        log.warning("home.closed", home=str(settings.root), count=closed)
    if refused:
        log.error(
            "home.open",
            count=len(refused),
            first=f"{refused[0][0]}: {refused[0][1].strerror}",
            hint="others can read it: the whole home must belong to the user who runs this",
        )


def open_to_others(settings: Settings) -> Iterator[tuple[Path, int]]:
    """What others may read, write or enter, and its rights: the home, what lies in it, and an SQLite file elsewhere.

    A folder of finished recordings that is closed is not looked into: there may be a million of them.
    """
    days = settings.recordings_dir
    yield from _open_below(settings.root, days)
    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite" and url.database:
        file = Path(url.database).absolute()
        if not file.is_relative_to(settings.root):
            for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
                if (mode := _rights(file.with_name(name))) & UMASK:
                    yield file.with_name(name), mode


def _open_below(folder: Path, days: Path) -> Iterator[tuple[Path, int]]:
    mode = _rights(folder)
    if mode & UMASK:
        yield folder, mode
    elif folder.parent == days and folder.name != "spool":
        return
    try:
        entries = list(os.scandir(folder))
    except OSError:  # not there, or not ours: its own rights have been told
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _open_below(path, days)
        elif (mode := _rights(path)) & UMASK:
            yield path, mode


def _rights(path: Path) -> int:
    """The rights; none for a link, or for what is gone."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return 0
    return 0 if stat.S_ISLNK(mode) else stat.S_IMODE(mode)
