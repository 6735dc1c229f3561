"""`hotline check`: by which settings and rules the hotline would dial itself."""

import asyncio
from pathlib import Path

from acd.rules import book as rulebook
from acd.rules.model import Number
from acd.rules.text import Rulebook
from base import database, migrations
from base.settings import Settings
from hotline.machine.check import _dialling

OWN_TARGET = Rulebook(
    queues={"default": {"overflow_to": "12345", "overflow_after": 9.0}},
    numbers={"8890": Number("8890")},
)


def test_what_dials_the_hotline_itself_is_said(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        transfer_to=("12333", "110", "12345"),
        dial_allow=("10086", "119", "+882*"),
    )
    assert list(_dialling(settings)) == [
        (False, "HOTLINE_TRANSFER_TO: 12345: this is one of the hotline's own numbers"),
        (False, "HOTLINE_DIAL_ALLOW: 119: emergency numbers are never dialled by the hotline"),
    ]
    assert not (tmp_path / "hotline.db").exists(), "a look changed something"


def test_an_overflow_of_before_the_upgrade_is_named(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)

    async def fill() -> None:
        engine = database.engine(settings.database)
        await migrations.upgrade(engine)
        await rulebook.save(engine, OWN_TARGET)  # this program's own numbers were not told
        await engine.dispose()

    asyncio.run(fill())
    assert list(_dialling(settings)) == [
        (False, "queue default: overflow_to 12345: this is one of the hotline's own numbers")
    ]
