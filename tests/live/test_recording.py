"""Every call is on record from answer to hang-up, both sides, whatever happens to the recorder."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from base import database
from base.settings import Settings
from facts import CallQueued, OfferAnswered, RecordingFinished, RecordingMissing
from recorder import copying, ledger
from recorder.entry import LedgerEntry
from recorder.policy import RecordingState
from softphone.phones import Phones, seconds_of
from tests.live import sounds
from tests.live.centre import NUMBER, Centre, until_talk
from tests.live.sip import Wire


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    with Centre() as centre:
        centre.add_agent("1001", "1002")
        centre.shorten_greeting()
        yield centre


@pytest.fixture
async def engine(centre: Centre) -> AsyncIterator[AsyncEngine]:
    made = database.engine(f"sqlite+aiosqlite:///{centre.home / 'hotline.db'}")
    yield made
    await made.dispose()


async def recorded(centre: Centre, engine: AsyncEngine, call: str) -> LedgerEntry:
    """The call's row, once it is finished; its file is as the row says."""
    await centre.fact(RecordingFinished, 20, call=call)
    return await copying.verify(engine, Settings(home=centre.home), call)


async def test_a_call_that_ends_before_an_agent_answers_is_on_record_too(
    centre: Centre, phones: Phones, engine: AsyncEngine
) -> None:
    greeted = await phones.citizen("13900000101").dial(NUMBER)
    waiting = await phones.citizen("13900000102").dial(NUMBER)
    await greeted.until_answered()
    await asyncio.sleep(0.8)
    await greeted.hang_up()
    waiter = await centre.call_id("13900000102")
    await centre.fact(CallQueued, call=waiter)
    await asyncio.sleep(4)
    await waiting.hang_up()

    for leg, caller in ((greeted, "13900000101"), (waiting, "13900000102")):
        call = await centre.call_id(caller)
        entry = await recorded(centre, engine, call)
        assert (entry.state, entry.note) == (RecordingState.FINISHED, "")
        sounds.assert_whole(entry.duration / 1e6, leg)
        left, right = sounds.recording(centre.home, entry.call)
        sounds.assert_hums(left, leg)
        assert seconds_of(right, leg.tone) == 0
        assert right.any()  # greeting, music
    assert centre.facts(RecordingMissing) == []


async def test_a_citizen_whose_telephone_sends_no_sound_is_on_record_as_long_as_they_were_there(
    centre: Centre, phones: Phones, engine: AsyncEngine
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.3)
    with Wire(centre.sip) as wire:
        dialog = await wire.call(NUMBER, b"<sip:13900000111@127.0.0.1>")
        call = await centre.call_id("13900000111")
        await centre.fact(OfferAnswered, 10, call=call)
        await asyncio.sleep(4)
        await dialog.hang_up()
    entry = await recorded(centre, engine, call)
    assert entry.state is RecordingState.FINISHED, entry
    left, right = sounds.recording(centre.home, entry.call)
    assert not left.any()
    await agent.offers[-1].until_ended()
    sounds.assert_hums(right, agent.offers[-1])


async def test_the_master_key_goes_away_and_comes_back(
    centre: Centre, phones: Phones, engine: AsyncEngine
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.3)
    key = centre.home / "secrets" / "recordings.keys"
    await centre.until(key.exists, 10, "the recorder to make the master key")
    leg = await phones.citizen("13900000151").dial(NUMBER)
    await until_talk(leg, agent.tone, 15)
    away = key.rename(centre.home / "away")
    centre.expected.append("recording.key_away")
    await leg.hang_up()
    call = await centre.call_id("13900000151")
    raw = centre.home / "recordings" / "spool" / f"{call}.raw"
    await centre.until(
        lambda: any("recording.key_away" in line for line in centre.log_lines()), 10, "the alarm"
    )
    await asyncio.sleep(3)
    assert raw.exists()
    assert not key.exists()
    assert await ledger.look_up(engine, [call]) == {}

    away.rename(key)
    entry = await recorded(centre, engine, call)
    await centre.until(lambda: not raw.exists(), 10, "the raw file to go")
    assert entry.state is RecordingState.FINISHED
    left, right = sounds.recording(centre.home, call)
    assert seconds_of(left, leg.tone) > 1
    assert seconds_of(right, agent.tone) > 1
    # What lies on the disk is noise, wherever one begins to listen.
    data = (centre.home / "recordings" / entry.path).read_bytes()
    for begin in range(4):
        heard = np.frombuffer(data[begin : begin + len(data) // 4 * 4 - 4], dtype="<i2")
        for side in (heard, heard[0::2], heard[1::2]):
            assert seconds_of(side, leg.tone) == seconds_of(side, agent.tone) == 0


async def test_kill_9_of_the_recorder_with_calls_waiting_for_it(
    centre: Centre, phones: Phones, engine: AsyncEngine
) -> None:
    agent = await centre.agent(phones, "1002", answer_after=0.3)
    talking = await phones.citizen("13900000121").dial(NUMBER)
    await talking.until_hears(agent.tone, 15)
    others = [await phones.citizen(f"1390000013{n}").dial(NUMBER) for n in range(6)]
    for leg in others:
        await leg.until_answered()
    await asyncio.sleep(1)
    spool = centre.home / "recordings" / "spool"
    recorder = centre.pid(" recorder")
    os.kill(recorder, signal.SIGSTOP)
    for leg in others:
        await leg.hang_up()
    calls = [await centre.call_id(f"1390000013{n}") for n in range(6)]
    await asyncio.sleep(2.5)
    assert {f"{call}.raw" for call in calls} <= {path.name for path in spool.iterdir()}

    centre.expected.append("program.died")
    os.kill(recorder, signal.SIGKILL)
    for call in calls:
        entry = await recorded(centre, engine, call)
        assert entry.state is RecordingState.FINISHED
        assert len(centre.facts(RecordingFinished, call=call)) == 1
    assert {f"{call}.raw" for call in calls} & {path.name for path in spool.iterdir()} == set()

    # The talk that went on all the while is whole.
    await talking.hang_up()
    entry = await recorded(centre, engine, await centre.call_id("13900000121"))
    sounds.assert_whole(entry.duration / 1e6, talking)
    assert entry.note == ""


async def test_kill_9_of_asterisk_in_a_talk_keeps_the_sound_and_says_what_is_missing(
    centre: Centre, phones: Phones, engine: AsyncEngine
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.3)
    leg = await phones.citizen("13900000141").dial(NUMBER)
    await leg.until_hears(agent.tone, 15)
    await asyncio.sleep(4)
    call = await centre.call_id("13900000141")
    centre.expected += ["program.died", "link.down", "recording.incomplete"]
    os.kill(centre.pid("asterisk -f"), signal.SIGKILL)

    # Asterisk writes its file in pieces of a second: what had not been written is gone, and this is said.
    entry = await recorded(centre, engine, call)
    left, right = sounds.recording(centre.home, entry.call)
    assert seconds_of(left, leg.tone) > 3
    assert seconds_of(right, agent.tone) > 2
    assert (entry.state, entry.note[:7]) == (RecordingState.CUT_OFF, "cut off")
    short = [fact.why for fact in centre.facts(RecordingMissing, call=call)]
    assert short == ([entry.note] if "missing" in entry.note else [])


async def test_kill_9_of_asterisk_in_the_middle_of_many_calls(
    centre: Centre, phones: Phones, engine: AsyncEngine
) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.3)
    callers = [f"13900002{number:03}" for number in range(20)]
    legs = [await phones.citizen(caller).dial(NUMBER) for caller in callers]
    for leg in legs:
        await leg.until_answered()
    await asyncio.sleep(8)
    calls = [await centre.call_id(caller) for caller in callers]
    centre.expected += ["program.died", "link.down", "recording.incomplete"]
    killed = asyncio.get_running_loop().time()
    before = [killed - leg.answered_at for leg in legs if leg.answered_at is not None]
    os.kill(centre.pid("asterisk -f"), signal.SIGKILL)
    spool = centre.home / "recordings" / "spool"
    assert {f"{call}.raw" for call in calls} <= {path.name for path in spool.iterdir()}

    for call, leg, seconds in zip(calls, legs, before, strict=True):
        entry = await recorded(centre, engine, call)
        assert (entry.state, entry.note[:7]) == (RecordingState.CUT_OFF, "cut off"), entry
        # What Asterisk had not yet written is lost: pieces of a second.
        assert seconds - 3 < entry.duration / 1e6 < seconds + 1
        left, _ = sounds.recording(centre.home, call)
        assert seconds_of(left, leg.tone) > seconds - 4
        assert len(centre.facts(RecordingFinished, call=call)) == 1
    assert {f"{call}.raw" for call in calls} & {path.name for path in spool.iterdir()} == set()
    del agent
