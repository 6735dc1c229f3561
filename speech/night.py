"""The loop of `hotline transcribe`: recordings are heard at night, one after the other, at the lowest priority.

It has a gate (`HOTLINE_SPEECH`, off), limits (hours, minutes a night, the longest call, a week back) and alarms
(`words_late`, `words_failed`). A recording is heard from its beginning to its end and then entered at once: a kill at
any instant costs that work and nothing else.
"""

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import BinaryIO, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database
from base.background import within
from base.outage import Outage
from base.settings import Settings
from facts import Fact
from facts.times import MINUTE, SECOND
from recorder import ledger, policy, press, tape
from recorder.audit import NO_MEDIA
from recorder.entry import LedgerEntry
from recorder.forms import HEADER, RecordingForm
from recorder.policy import Stretch
from recorder.tape import BLOCK
from recorder.vault import reading
from recorder.vault.keys import KeyAwayError
from recorder.vault.trouble import StoreError
from speech import hearing, hints, model, phrases, plan, shelf
from speech.hearing import StoppedError, Transcriber
from speech.model import SpeechError
from speech.phrases import PhraseList, PhraseListError
from speech.shelf import WordsState
from speech.transcript import TalkWords

log = structlog.get_logger(__name__)

EVERY: Final = 30.0
"""Seconds between two looks whether it is night and something is due."""
AGAIN: Final = 600.0
"""Seconds after which a run that could not go on is tried again."""
_LOWEST: Final = 19


@dataclass(slots=True)
class NightWork:
    """What a run did. `why`: why it could not go on, or empty."""

    done: int = 0
    failed: int = 0
    left: int = 0
    why: str = ""


def lowest_priority() -> None:
    """Whatever else this machine does comes first: the threads that follow have it too."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _LOWEST)


async def run(engine: AsyncEngine, settings: Settings, stop: asyncio.Event) -> None:
    """Hear recordings every night until `stop` is set. No error ends the loop: the alarms tell people."""
    away = Outage(log, "words.database_away")
    while not stop.is_set():
        pause = EVERY
        now = clock.now()
        tonight = plan.night(now, settings.speech_hours)
        if tonight is not None:
            begin, end = tonight
            try:
                left = settings.speech_night_minutes * MINUTE - await shelf.spent(engine, begin)
                if left > 0:
                    did = await work(
                        engine,
                        settings,
                        stop,
                        since=now - shelf.LOOK_BACK,
                        until=now,
                        within=min(left, end - now),
                    )
                    pause = AGAIN if did.why else EVERY
                away.end()
            except database.AWAY as error:
                away.begin(**database.told(error))
            except Exception as error:  # noqa: BLE001 the loop must outlive everything
                log.error("words.failed", why=database.why(error)[:200])
                pause = AGAIN
        await within(pause, stop)


async def work(
    engine: AsyncEngine,
    settings: Settings,
    stop: asyncio.Event,
    *,
    since: int,
    until: int,
    within: int,
    again_before: int | None = None,
    told: Callable[[LedgerEntry, WordsState], None] = lambda _entry, _state: None,
) -> NightWork:
    """Hear what was finished between `since` and `until` and is due, for `within` microseconds at most.

    What failed is tried again if that was before `again_before`; by default, in an earlier night.

    One such run at a time works in a home. Nothing due: nothing is loaded and nothing entered.
    """
    did = NightWork()
    begun = clock.now()
    deadline = time.monotonic() + within / SECOND
    again = begun - shelf.AGAIN_AFTER if again_before is None else again_before
    if not await shelf.due(engine, since, until, again):
        return did
    async with _only_one(settings) as mine:
        if not mine:
            did.why = "another `hotline transcribe` works in this home"
            return did
        try:
            book = read_list(settings)
            listener = Transcriber(await asyncio.to_thread(model.load, settings))
            await _pages(
                engine, settings, stop, (since, until, again), deadline, did, book, listener, told
            )
        except (SpeechError, PhraseListError, KeyAwayError, StoreError) as error:
            did.why = str(error)
        except database.FAILED as error:
            did.why = database.why(error)[:200]
        if did.why:
            log.error("words.stopped", why=did.why)
        if did.done or did.failed or did.why:
            with contextlib.suppress(*database.FAILED):  # then `database_away` says it
                await shelf.note(
                    engine, begun, clock.now(), done=did.done, failed=did.failed, why=did.why
                )
    return did


async def _pages(
    engine: AsyncEngine,
    settings: Settings,
    stop: asyncio.Event,
    span: tuple[int, int, int],
    deadline: float,
    did: NightWork,
    book: PhraseList,
    listener: Transcriber,
    told: Callable[[LedgerEntry, WordsState], None],
) -> None:
    seen: list[str] = []
    while page := await shelf.due(engine, *span, seen):
        for entry in page:
            if stop.is_set() or time.monotonic() >= deadline:
                did.left = len(page)
                return
            seen.append(entry.call)
            state = await _one(engine, settings, stop, deadline, entry, book, listener)
            if state is None:
                did.left = len(page)
                return
            did.failed += state is WordsState.FAILED
            did.done += state is not WordsState.FAILED
            told(entry, state)


async def _one(
    engine: AsyncEngine,
    settings: Settings,
    stop: asyncio.Event,
    deadline: float,
    entry: LedgerEntry,
    book: PhraseList,
    listener: Transcriber,
) -> WordsState | None:
    """Hear one recording and enter what came of it; says the state, or None: it was stopped, and nothing is entered."""
    begun = time.monotonic()

    def took() -> int:
        return round((time.monotonic() - begun) * SECOND)

    facts = (await ledger.facts_of(engine, [entry.call])).get(entry.call, [])
    talks = talks_in(entry, facts)
    state, heard = WordsState.DONE, list[TalkWords]()
    if not talks:
        state = WordsState.EMPTY
    elif entry.duration > settings.speech_longest_minutes * MINUTE:
        state = WordsState.TOO_LONG
    else:

        def over() -> bool:
            return stop.is_set() or time.monotonic() >= deadline

        try:
            heard = await asyncio.to_thread(listen, settings, entry, talks, listener, over)
        except StoppedError:
            return None
        except (KeyAwayError, StoreError):
            raise
        except Exception as error:  # noqa: BLE001 whatever a damaged file makes of a library
            why = str(error) or type(error).__name__
            log.error("words.not_heard", call_id=entry.call, why=why[:200])
            await shelf.fail(engine, entry, why, at=clock.now(), took=took())
            return WordsState.FAILED
    found = [hint for talk in heard for hint in hints.of_talk(talk, book)]
    entered = await shelf.enter(
        engine, settings, entry, heard, found, at=clock.now(), took=took(), state=state
    )
    log.info("words.heard", call_id=entry.call, state=state, hints=len(found), entered=entered)
    return state


def listen(
    settings: Settings,
    entry: LedgerEntry,
    talks: list[Stretch],
    listener: Transcriber,
    stopped: Callable[[], bool],
) -> list[TalkWords]:
    """The words of a recording, wherever it lies. Nothing of it is written to a disk.

    Raises as `reading.open_recording`, and `StoppedError`, `PressError`, `TapeError`.
    """
    with (
        reading.open_recording(settings, entry) as sound,
        # What follows the last talk is not wanted: then ffmpeg ends early.
        contextlib.closing(_pieces(sound, settings.recordings_dir / entry.path)) as pieces,
    ):
        return hearing.hear(listener, pieces, talks, stopped)


def _pieces(sound: BinaryIO, place: Path) -> Generator[bytes]:
    form, header = tape.header_of(sound, place)
    if form is RecordingForm.WAV:
        sound.seek(HEADER)
        yield from iter(lambda: sound.read(BLOCK), b"")
    else:
        yield from press.decode(sound, form, header.duration)


def talks_in(entry: LedgerEntry, facts: list[Fact]) -> list[Stretch]:
    """The talks of a call as places in its recording (microseconds from its beginning)."""
    known = policy.times(facts)
    if known.arrived is None:
        return []
    ended = known.ended
    late = 0 if ended is None else min(max(0, ended - known.arrived - entry.duration), NO_MEDIA)
    began = known.arrived + late
    found = []
    for talk in policy.talks(facts, ended):
        begin, end = (min(max(0, at - began), entry.duration) for at in (talk.begin, talk.end))
        if begin < end:
            found.append(Stretch(talk.agent, begin, end))
    return found


def read_list(settings: Settings) -> PhraseList:
    """The list of phrases: the home's, if there is one. Raises `PhraseListError`."""
    mine = settings.root / phrases.FILE
    place: Path | None = mine if mine.exists() else None
    try:
        text = (place or resources.files("speech") / phrases.FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PhraseListError(f"{mine} cannot be read: {error}") from None
    return phrases.read(text, str(place or phrases.FILE))


@asynccontextmanager
async def _only_one(settings: Settings) -> AsyncIterator[bool]:
    """Whether nobody else works here. The kernel gives the lock back when a process is killed."""
    settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(settings.run_dir / "transcribe.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(lock)
