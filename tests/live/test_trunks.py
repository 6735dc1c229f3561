"""Several trunks with user and password: calls come in, leave by the first that is there, by the next if it fails."""

import asyncio
import contextlib
import itertools
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator

import pytest

from base.bus import Bus, Refused
from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallSentOutside,
)
from facts.requests import AddCallback, CancelCallback
from softphone.phones import Phones
from tests.live.centre import NUMBER, Centre
from tests.live.gateway import Gateway, Manners
from tests.live.sip import Wire
from tests.live.test_alarms import measured

PASSWORD = 'a;b"c\\d#e=f>g'
"""What a password may hold, and Asterisk's configuration might misread."""
RULES = {name: {"hold": 0, "rest": 0} for name in ("trunk_away", "trunk_refused")}
ELSEWHERE = "127.0.0.9"
OUTSIDE = "12333"


@pytest.fixture(scope="module")
def operators() -> Iterator[tuple[Gateway, Gateway]]:
    made = Gateway(**{"024first": PASSWORD}), Gateway(second="other-password")
    yield made
    for gateway in made:
        gateway.close()


@pytest.fixture(scope="module")
def running(operators: tuple[Gateway, Gateway]) -> Iterator[Centre]:
    """A centre with two trunks, whose calls come from nowhere else."""
    first, second = operators
    centre = Centre(
        numbers=f"{NUMBER},8890",
        trunks=ELSEWHERE,
        wrap_up_time=0,
        callback_rings=30,
        transfer_to=OUTSIDE,
        alarms=json.dumps(RULES),
    )
    (centre.home / "trunks.toml").write_text(
        f"""
        [[trunk]]
        name = "first"
        host = "{first.address.removeprefix("sip:")}"
        user = "024first"
        password = '{PASSWORD}'
        numbers = ["{NUMBER}"]

        [[trunk]]
        name = "second"
        host = "{second.address.removeprefix("sip:")}"
        user = "second"
        password = "other-password"
        numbers = ["8890"]
        match = ["127.0.0.3"]
        """
    )
    with centre:
        centre.add_agent("1001")
        centre.shorten_greeting()
        centre.run("queue", "set", "default", "call_back_lost=no")
        yield centre


@pytest.fixture
async def both(
    centre: Centre, operators: tuple[Gateway, Gateway]
) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Both operators, once the centre is registered at them."""
    first, second = operators
    for gateway in operators:
        gateway.manners.clear()
        gateway.calls.clear()
        gateway.otherwise = Manners()
    async with first, second:
        await until_registered(centre, "first", "second")
        yield first, second


_numbers = itertools.count(13800000001)


@pytest.fixture
def citizen() -> str:
    """A new citizen."""
    return str(next(_numbers))


@pytest.fixture
async def phones(centre: Centre, both: tuple[Gateway, Gateway]) -> AsyncIterator[Phones]:
    async with Phones(centre.sip) as made:
        yield made
        with contextlib.closing(_book(centre)) as book:
            rows = book.execute(
                "SELECT id FROM callback WHERE state IN ('due', 'dialling', 'talking')"
            ).fetchall()
        for (task,) in rows:
            with contextlib.suppress(Refused):
                await centre.ask(CancelCallback(task))


def _book(centre: Centre) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{centre.home / 'hotline.db'}?mode=ro", uri=True, timeout=5)


def registered(centre: Centre, *names: str) -> bool:
    told = centre.asterisk("pjsip show registrations")
    asked = centre.asterisk("pjsip show contacts")
    return all(
        any(f"outbound-{name}/" in line and " Registered" in line for line in told.splitlines())
        and any(f"watch-{name}/" in line and " Avail" in line for line in asked.splitlines())
        for name in names
    )


async def until_registered(centre: Centre, *names: str) -> None:
    """Wait until these trunks are registered. The operators answer from this loop, so it must not wait for Asterisk."""
    deadline = asyncio.get_running_loop().time() + 90
    while not await asyncio.to_thread(registered, centre, *names):
        assert asyncio.get_running_loop().time() < deadline, centre.logs(40)
        await asyncio.sleep(0.3)


async def call_back(centre: Centre, number: str) -> int:
    return (await centre.ask(AddCallback(number))).id


async def alarms(centre: Centre) -> dict[tuple[str, str], str]:
    """The open alarms' sentences, by rule and subject."""
    bus = Bus(f"unix://{centre.home}/run/redis.sock", "hotline")
    try:
        shown = await bus.live()
    finally:
        await bus.close()
    found = shown["alarms"] if shown else []
    return {(one["rule"], one["subject"]): one["text_zh"] for one in found}


async def alarm(centre: Centre, rule: str, trunk: str, *, raised: bool, within: float = 40) -> str:
    """Wait until this alarm is raised, or over; gives its sentence."""
    deadline = asyncio.get_running_loop().time() + within
    while ((rule, trunk) in (found := await alarms(centre))) is not raised:
        assert asyncio.get_running_loop().time() < deadline, (rule, found, centre.logs(40))
        await asyncio.sleep(0.2)
    return found.get((rule, trunk), "")


def attempts(centre: Centre, callback: int) -> int:
    """How many attempts of this task the book has counted."""
    with contextlib.closing(_book(centre)) as book:
        found = book.execute("SELECT attempts FROM callback WHERE id = ?", (callback,)).fetchone()
    return int(found[0])


async def one_attempt(centre: Centre, callback: int, failure: str) -> None:
    """The task's attempt is over, and whatever was tried, it was one."""
    ended = await centre.fact(CallbackEnded, 15, callback=callback)
    assert ended.failure == failure
    dialled = centre.facts(CallbackDialling)
    assert len([one for one in dialled if one.callback == callback]) == 1
    await centre.until(lambda: attempts(centre, callback) == 1, 10, "one attempt in the book")


async def test_a_call_comes_in_by_the_trunk_and_by_no_other_address(
    centre: Centre, both: tuple[Gateway, Gateway]
) -> None:
    first, second = both
    assert first.registered["024first"].contact == f"sip:{NUMBER}@{centre.sip}"
    assert second.registered["second"].contact == f"sip:8890@{centre.sip}"
    before = len(centre.facts(CallArrived))
    with Wire(centre.sip) as wire:
        dialog = await wire.call(NUMBER, b"<sip:13900000101@x.invalid>")
        assert dialog.status == 200
        await centre.until(lambda: len(centre.facts(CallArrived)) > before, 10, "the arrival")
        await dialog.hang_up()
    with Wire(centre.sip) as wire:
        # 8890 is the second trunk's, whose calls come from elsewhere.
        refused = await wire.call("8890", b"<sip:13900000102@x.invalid>")
        assert refused.status == 401


async def test_a_callback_leaves_by_the_first_trunk_with_its_number(
    centre: Centre, phones: Phones, both: tuple[Gateway, Gateway], citizen: str
) -> None:
    first, second = both
    first.manners[citizen] = Manners(answer_after=0.3, hang_up_after=0.5)
    await centre.agent(phones, "1001", answer_after=0.1)
    callback = await call_back(centre, citizen)
    call = await first.call(1, citizen)
    assert call.caller == NUMBER
    await one_attempt(centre, callback, "")
    assert not second.calls


@pytest.mark.parametrize("status", [503, 500, 408])
async def test_the_second_trunk_takes_over_what_the_first_does_not_take(
    centre: Centre, phones: Phones, both: tuple[Gateway, Gateway], citizen: str, status: int
) -> None:
    first, second = both
    first.manners[citizen] = Manners(status=status)
    second.manners[citizen] = Manners(answer_after=0.3, hang_up_after=0.5)
    await centre.agent(phones, "1001", answer_after=0.1)
    callback = await call_back(centre, citizen)
    call = await second.call(1, citizen)
    assert call.caller == "8890", "the number that this trunk has"
    await one_attempt(centre, callback, "")
    assert len(first.calls) == 1


@pytest.mark.parametrize(
    ("status", "failure"), [(486, "busy"), (404, "unreachable"), (603, "refused")]
)
async def test_what_the_far_end_says_is_the_answer(
    centre: Centre,
    phones: Phones,
    both: tuple[Gateway, Gateway],
    citizen: str,
    status: int,
    failure: str,
) -> None:
    first, second = both
    first.manners[citizen] = Manners(status=status)
    await centre.agent(phones, "1001", answer_after=0.1)
    callback = await call_back(centre, citizen)
    await one_attempt(centre, callback, failure)
    assert (len(first.calls), len(second.calls)) == (1, 0)


async def test_what_has_rung_is_not_dialled_again(
    centre: Centre, phones: Phones, both: tuple[Gateway, Gateway], citizen: str
) -> None:
    first, second = both
    await centre.agent(phones, "1001", answer_after=0.1)
    callback = await call_back(centre, citizen)
    call = await first.call(1, citizen)
    await call.until(lambda: call.ringing_at)
    call.refuse(503)
    await one_attempt(centre, callback, "unreachable")
    assert (len(first.calls), len(second.calls)) == (1, 0)


async def test_a_transfer_to_outside_goes_by_the_next_trunk_too(
    centre: Centre, phones: Phones, both: tuple[Gateway, Gateway], citizen: str
) -> None:
    first, second = both
    first.manners[citizen] = Manners(answer_after=0.2)
    first.manners[OUTSIDE] = Manners(status=503)
    second.manners[OUTSIDE] = Manners(answer_after=0.3)
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    callback = await call_back(centre, citizen)
    call = await first.call(1, citizen)
    await centre.fact(CallbackAnswered, callback=callback)
    await agent.offers[-1].transfer(OUTSIDE)
    sent = await second.call(1, OUTSIDE)
    assert sent.caller == "8890"
    await centre.fact(CallSentOutside, number=OUTSIDE, answered=True)
    call.hang_up()
    await one_attempt(centre, callback, "")
    # Sent once, answered once, by however many trunks
    sent_facts = centre.facts(CallSentOutside)
    assert [one.answered for one in sent_facts] == [False, True]
    assert (len(first.of(OUTSIDE)), len(second.of(OUTSIDE))) == (1, 1)


async def test_a_trunk_that_dies_is_passed_over_told_and_comes_back(
    centre: Centre, phones: Phones, both: tuple[Gateway, Gateway], citizen: str
) -> None:
    first, second = both
    second.manners[citizen] = Manners(answer_after=0.3, hang_up_after=0.5)
    await centre.agent(phones, "1001", answer_after=0.1)
    up = 'hotline_trunk_up{trunk="first"}'
    await centre.until(lambda: measured(centre)[up] == 1, 10, "the gauge")
    first.deaf = True
    callback = await call_back(centre, citizen)
    await second.call(1, citizen, 20)
    await one_attempt(centre, callback, "")
    assert await alarm(centre, "trunk_away", "first", raised=True) == "中继 first 无应答或未注册"
    said = await centre.cli("check", status=1)
    assert "✗  trunk first: it does not answer" in said
    await centre.until(lambda: measured(centre)[up] == 0, 10, "the gauge")
    assert measured(centre)['hotline_trunk_up{trunk="second"}'] == 1
    assert "✓  trunk second: registered" in said
    # Known to be away, it is not even tried.
    again = "13900000002"
    second.manners[again] = Manners(answer_after=0.1, hang_up_after=0.3)
    await one_attempt(centre, await call_back(centre, again), "")
    assert not first.of(again)

    first.deaf = False
    await alarm(centre, "trunk_away", "first", raised=False, within=60)
    first.manners["13900000003"] = Manners(answer_after=0.1, hang_up_after=0.3)
    await one_attempt(centre, await call_back(centre, "13900000003"), "")
    assert first.of("13900000003")


async def test_a_wrong_password_is_told_in_clear_words(
    centre: Centre, phones: Phones, both: tuple[Gateway, Gateway], citizen: str
) -> None:
    first, second = both
    centre.expected.append("outbound-first")
    first.accounts["024first"] = "changed by the operator"
    centre.asterisk("pjsip send register outbound-first")
    said = await alarm(centre, "trunk_refused", "first", raised=True)
    assert said == "中继 first 的运营商拒绝注册：请核对 trunks.toml 中的用户名和密码"
    checked = await centre.cli("check", status=1)
    assert (
        "✗  trunk first: the operator refuses the registration: check user and password" in checked
    )
    second.manners[citizen] = Manners(answer_after=0.1, hang_up_after=0.3)
    await centre.agent(phones, "1001", answer_after=0.1)
    await one_attempt(centre, await call_back(centre, citizen), "")
    assert (len(first.calls), len(second.calls)) == (0, 1)

    first.accounts["024first"] = PASSWORD
    centre.asterisk("pjsip send register outbound-first")
    await alarm(centre, "trunk_refused", "first", raised=False)


async def test_the_password_is_nowhere_to_be_read(centre: Centre) -> None:
    holders = [centre.home / "trunks.toml", centre.home / "asterisk" / "pjsip.conf"]
    assert [file.stat().st_mode & 0o077 for file in holders] == [0, 0]
    assert not [line for line in centre.log_lines() if PASSWORD in line or "other-password" in line]


async def test_other_trunks_are_taken_up_while_a_call_goes_on(
    centre: Centre, phones: Phones, both: tuple[Gateway, Gateway], citizen: str
) -> None:
    """The first trunk is taken out of the file in the middle of its call, and a third one comes with a new number."""
    first, second = both
    file = centre.home / "trunks.toml"
    before = file.read_text()
    first.manners[citizen] = Manners(answer_after=0.2)
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    callback = await call_back(centre, citizen)
    call = await first.call(1, citizen)
    await centre.fact(CallbackAnswered, callback=callback)
    third = Gateway(third="third-password")
    try:
        async with third:
            await centre.cli("queue", "number", "add", "8891")
            with Wire(centre.sip) as wire:
                unknown = await wire.call("8891", b"<sip:13900000103@x.invalid>")
                assert unknown.status == 401, "no trunk has it here yet"
            centre.expected.append("trunks.not_usable")
            file.write_text(before.replace("match =", "mtach ="))
            await centre.until(lambda: "trunks.not_usable" in centre.logs(), 10, "the sentence")
            said = await centre.cli("check", status=1)
            assert "trunks.toml, line 15: mtach" in said
            assert "✓  trunk second: registered" in said, "those of before hold"
            file.write_text(
                f"""
                [[trunk]]{before.rpartition("[[trunk]]")[2]}
                [[trunk]]
                name = "third"
                host = "{third.address.removeprefix("sip:")}"
                user = "third"
                password = "third-password"
                numbers = ["8891"]
                """
            )
            await until_registered(centre, "second", "third")
            await centre.until(lambda: "trunks.read" in centre.logs(), 10, "the controller")
            assert "outbound-first/" not in centre.asterisk("pjsip show registrations")
            with Wire(centre.sip) as wire:
                dialog = await wire.call("8891", b"<sip:13900000104@x.invalid>")
                assert dialog.status == 200
                await dialog.hang_up()
            assert not call.ended_at, "a call on a trunk that is gone goes on"
            await agent.offers[-1].hang_up()
            await one_attempt(centre, callback, "")
            assert call.ended_at
            again = "13900000004"
            second.manners[again] = Manners(answer_after=0.1, hang_up_after=0.3)
            await one_attempt(centre, await call_back(centre, again), "")
            assert second.of(again)
            assert 'hotline_trunk_up{trunk="first"}' not in measured(centre)
            file.write_text(before)
            await until_registered(centre, "first", "second")
    finally:
        file.write_text(before)
        third.close()
