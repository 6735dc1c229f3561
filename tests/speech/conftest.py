"""A call that was recorded, encrypted, and a listener who hears what they are told."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database, migrations
from base.settings import Settings
from facts.times import SECOND
from recorder import finishing
from recorder.entry import LedgerEntry
from recorder.policy import RATE
from speech.hearing import Sound
from speech.transcript import Word
from tests.recorder.conftest import a_call, write

CALL = "hotline-1763731200.1"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path, recording_format="wav", speech=True)
    made.spool_dir.mkdir(parents=True)
    return made


@pytest.fixture
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    made = database.engine(settings.database)
    await migrations.upgrade(made)
    yield made
    await made.dispose()


async def recorded(
    engine: AsyncEngine, settings: Settings, call: str = CALL, *, seconds: int = 20, talk: int = 15
) -> LedgerEntry:
    """A finished recording of a call that ended just now, the last `talk` seconds with agent 1001."""
    await write(engine, a_call(call, seconds, talk, clock.now() - 30 * SECOND))
    raw = bytes((1, 0, 2, 0)) * (RATE * seconds)
    (settings.spool_dir / f"{call}.raw").write_bytes(raw)
    return await finishing.finish(engine, settings, call)


@dataclass
class Parrot:
    """Hears on each side, once, the words it was given; `blocks`: how many samples it was given at a time."""

    words: Sequence[Word] = ()
    error: Exception | None = None
    blocks: list[int] = field(default_factory=list)

    def hear(self, sound: Sound, *, last: bool) -> tuple[list[Word], int]:
        if self.error is not None:
            raise self.error
        first = not self.blocks
        self.blocks.append(sound.size)
        # The citizen's side is finished first; the agent's samples are 2 in these recordings.
        agents = bool(sound.size) and int(sound[0]) == 2
        return (list(self.words) if agents or (first and not self.words) else []), sound.size
