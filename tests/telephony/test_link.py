"""The AMI link against a manager interface that misbehaves: each trap that panoramisk 1.4 was seen to fall into."""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from base.retry import Schedule
from telephony.link import _TOGETHER, ActionRefused, Link, LinkDown, Unknown, _Protocol, parse
from tests.fakes.asterisk_ami import FakeAsterisk, message


class Seen:
    """A link, and what it told."""

    def __init__(self, port: int, **options: object) -> None:
        self.messages: list[Mapping[str, str]] = []
        self.ups = self.downs = 0
        self.fail_next: Exception | None = None
        quick: dict[str, object] = {
            "login_timeout": 1.0,
            "ping_every": 30.0,
            "retry": Schedule(0.02, 0.1),
            "refused_retry": Schedule(0.3, 0.3),
            "secret": "right",
            **options,
        }
        secret = str(quick.pop("secret"))
        self.link = Link(
            "127.0.0.1",
            port,
            "hotline",
            secret,
            self._message,
            self._up,
            self._down,
            events={"Newchannel", "Hangup", "OriginateResponse"},
            **quick,  # type: ignore[arg-type]
        )
        self.task = asyncio.get_running_loop().create_task(self.link.run())

    def _message(self, got: Mapping[str, str]) -> None:
        self.messages.append(got)
        if got.get("Channel") == "PJSIP/bad-1":
            raise ZeroDivisionError

    async def _up(self) -> None:
        self.ups += 1
        if self.fail_next is not None:
            error, self.fail_next = self.fail_next, None
            raise error

    def _down(self) -> None:
        self.downs += 1

    def channels(self) -> list[str]:
        return [got.get("Channel", "") for got in self.messages]

    async def close(self) -> None:
        self.link.close()
        async with asyncio.timeout(10):
            await self.task


async def until(condition: Callable[[], object], within: float = 15) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.005)


@pytest.fixture
async def asterisk() -> AsyncIterator[FakeAsterisk]:
    async with FakeAsterisk() as fake:
        yield fake


@pytest.fixture
async def seen(asterisk: FakeAsterisk) -> AsyncIterator[Seen]:
    made = Seen(asterisk.port)
    await until(lambda: made.ups)
    yield made
    await made.close()


# --- events


async def test_wanted_events_come_in_order_and_others_do_not(
    asterisk: FakeAsterisk, seen: Seen
) -> None:
    for number in range(100):
        asterisk.event("Newchannel", X=str(number))
        asterisk.event("VarSet", X=str(number))
    await until(lambda: len(seen.messages) >= 100)
    assert [got["X"] for got in seen.messages] == [str(number) for number in range(100)]


async def test_many_events_are_read_together_and_few_at_once(
    asterisk: FakeAsterisk, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    take = _Protocol.data_received

    def count(self: _Protocol, data: bytes) -> None:
        nonlocal reads
        reads += 1
        take(self, data)

    monkeypatch.setattr(_Protocol, "data_received", count)
    sent = 0
    end = time.monotonic() + 1
    while time.monotonic() < end:
        asterisk.event("Newchannel", X=str(sent))
        sent += 1
        await asyncio.sleep(0)
    await until(lambda: len(seen.messages) == sent)
    assert [got["X"] for got in seen.messages] == [str(number) for number in range(sent)]
    assert reads < sent / 3
    await asyncio.sleep(0.25)
    reads = 0
    for number in range(5):
        asterisk.event("Newchannel", X=f"late {number}")
        await until(lambda wanted=number: seen.messages[-1]["X"] == f"late {wanted}")  # type: ignore[misc]
    assert reads == 5


async def test_a_link_that_waits_for_more_events_can_be_closed(
    asterisk: FakeAsterisk, seen: Seen
) -> None:
    assert seen.link._connection is not None
    transport = seen.link._connection.protocol.transport
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, fault: faults.append(fault))
    async with asyncio.timeout(20):
        while transport.is_reading():
            asterisk.event("Newchannel", X="before")
            await asyncio.sleep(0)
    asterisk.event("Newchannel", X="too late")
    await seen.close()
    # The other end learns it at once, though nothing was being read.
    await until(lambda: all(writer.is_closing() for writer in asterisk._writers))
    await asyncio.sleep(3 * _TOGETHER)
    assert {got["X"] for got in seen.messages} == {"before"}
    assert faults == []


async def test_an_error_in_the_callback_concerns_one_event_only(
    asterisk: FakeAsterisk, seen: Seen
) -> None:
    with capture_logs() as logs:
        asterisk.event("Newchannel", X="PJSIP/bad-1")
        asterisk.send(bad := whole("Newchannel", "PJSIP/bad-1"))
        assert bad
        asterisk.send(whole("Newchannel", "PJSIP/good-1"))
        await until(lambda: "PJSIP/good-1" in seen.channels())
    assert "link.callback_failed" in [entry["event"] for entry in logs]
    assert (seen.ups, seen.downs) == (1, 0)


async def test_chinese_names_survive_any_split(asterisk: FakeAsterisk, seen: Seen) -> None:
    raw = message({"Event": "Newchannel", "CallerIDName": "王小明，你好"})
    for cut in range(1, len(raw)):
        asterisk.send(raw[:cut])
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        asterisk.send(raw[cut:])
    await until(lambda: len(seen.messages) == len(raw) - 1)
    assert {got["CallerIDName"] for got in seen.messages} == {"王小明，你好"}


async def test_garbage_between_events_is_skipped_and_told(
    asterisk: FakeAsterisk, seen: Seen
) -> None:
    with capture_logs() as logs:
        asterisk.send(b"\xff\xfe garbage\r\n\r\nno colon\r\n\r\n\r\n\r\nEvent: \r\n\r\n")
        asterisk.send(b"Event: Newchannel\r\nbroken line\r\n: \r\nX: 1\r\n\r\n")
        await until(lambda: seen.messages)
    assert seen.messages[0]["X"] == "1"
    assert "link.garbage" in [entry["event"] for entry in logs]
    assert seen.link.up


async def test_an_endless_message_drops_the_link_soon_and_it_comes_back(
    asterisk: FakeAsterisk, seen: Seen
) -> None:
    started = time.process_time()
    with capture_logs() as logs:
        asterisk.send(b"Event: Newchannel\r\nX: " + b"x" * 1_000_000)
        await until(lambda: seen.ups == 2)
    assert time.process_time() - started < 0.5
    assert any("more than 262144 bytes" in str(entry.get("reason")) for entry in logs)
    asterisk.event("Newchannel", X="after")
    await until(lambda: seen.messages)


async def test_a_long_line_below_the_limit_is_read(asterisk: FakeAsterisk, seen: Seen) -> None:
    for _ in range(20):
        asterisk.send(b"Event: Newchannel\r\nX: ")
        for _ in range(100):
            asterisk.send(b"x" * 2000)
        asterisk.send(b"\r\n\r\n")
    await until(lambda: len(seen.messages) == 20)
    assert {len(got["X"]) for got in seen.messages} == {200_000}


def whole(event: str, channel: str, number: str = "1", **more: str) -> bytes:
    """An event with a channel, as Asterisk writes it; the number may be a caller's malice."""
    return message(
        {
            "Event": event,
            "Privilege": "call,all",
            "Timestamp": "1763731200.000001",
            "SystemName": "hotline",
            "Channel": channel,
            "ChannelState": "4",
            "CallerIDNum": number,
            "CallerIDName": "<unknown>",
            "ConnectedLineNum": number,
            "ConnectedLineName": "<unknown>",
            "Language": "zh",
            "AccountCode": "",
            "Context": "inbound",
            "Exten": "12345",
            "Priority": "1",
            "Uniqueid": "hotline-1.1",
            "Linkedid": "hotline-1.1",
            **more,
        }
    )


FORGERIES = [
    "1\r\n\r\nEvent: Hangup\r\nUniqueid: hotline-9.9",
    "1\r\n\r\nEvent: Hangup\r\nPrivilege: call,all\r\nUniqueid: hotline-9.9",
    "1\r\nUniqueid: hotline-9.9\r\nLinkedid: hotline-9.9\r\n\r\nEvent: Hangup",
    "1\r\nChannelState: 6\r\nEvent: Hangup\r\nExten: 8890",
    "\r\n\r\n\r\n\r\n1\r\n\r\n",
]


@pytest.mark.parametrize("number", FORGERIES)
async def test_line_breaks_in_a_number_neither_cut_nor_forge(
    asterisk: FakeAsterisk, seen: Seen, number: str
) -> None:
    asterisk.send(whole("Newchannel", "PJSIP/trunk-1", number) + whole("Hangup", "PJSIP/trunk-1"))
    await until(lambda: "Hangup" in [got["Event"] for got in seen.messages])
    assert [got["Event"] for got in seen.messages] == ["Newchannel", "Hangup"]
    first = seen.messages[0]
    assert (first["Uniqueid"], first["Linkedid"]) == ("hotline-1.1", "hotline-1.1")
    assert (first["ChannelState"], first["Exten"], first["Channel"]) == (
        "4",
        "12345",
        "PJSIP/trunk-1",
    )


# --- actions


async def test_act_returns_the_answer(asterisk: FakeAsterisk, seen: Seen) -> None:
    asterisk.answers["GetVar"] = [{"Response": "Success", "Value": "王"}]
    assert (await seen.link.act({"Action": "GetVar", "Variable": "X"}))["Value"] == "王"
    assert asterisk.received[-1]["Variable"] == "X"


async def test_a_refusal_is_an_error_with_its_reason(asterisk: FakeAsterisk, seen: Seen) -> None:
    asterisk.answers["Hangup"] = [{"Response": "Error", "Message": "No such channel"}]
    with pytest.raises(ActionRefused, match="Hangup: No such channel"):
        await seen.link.act({"Action": "Hangup", "Channel": "PJSIP/1001-1"})


@pytest.mark.parametrize("name", ["Originate", "QueueAdd", "AGI"])
async def test_what_is_queued_does_not_wait_for_ever(
    asterisk: FakeAsterisk, seen: Seen, name: str
) -> None:
    asterisk.answers[name] = [{"Response": "Success", "Message": f"{name} successfully queued"}]
    async with asyncio.timeout(20):
        answer = await seen.link.act({"Action": name})
    assert answer["Response"] == "Success"


async def test_gather_returns_the_entries_and_joins_variables(
    asterisk: FakeAsterisk, seen: Seen
) -> None:
    asterisk.answers["Status"] = [
        {"Response": "Success", "EventList": "start", "Message": "Channel status will follow"},
        {"Event": "Status", "X": "1", "Variable": "A=1\r\nVariable: B=2"},
        {"Event": "Status", "X": "2"},
        {"Event": "StatusComplete", "EventList": "Complete"},
    ]
    entries = await seen.link.gather({"Action": "Status"}, "StatusComplete")
    assert [entry["X"] for entry in entries] == ["1", "2"]
    assert entries[0]["Variable"] == "A=1\nB=2"


async def test_gather_of_nothing_is_empty(asterisk: FakeAsterisk, seen: Seen) -> None:
    asterisk.answers["PJSIPShowContacts"] = [
        {"Response": "Error", "Message": "No Contacts found\n"}
    ]
    found = await seen.link.gather({"Action": "PJSIPShowContacts"}, "ContactListComplete")
    assert found == []


async def test_a_list_survives_a_blank_line_in_a_number(asterisk: FakeAsterisk, seen: Seen) -> None:
    entry = {"Event": "Status", "X": "1\r\n\r\nEvent: Hangup\r\nActionID: a", "Y": "2"}
    asterisk.answers["Status"] = [
        {"Response": "Success"},
        entry,
        {"Event": "StatusComplete"},
    ]
    entries = await seen.link.gather({"Action": "Status"}, "StatusComplete")
    assert [entry["Y"] for entry in entries] == ["2"]


async def test_a_time_out_is_unknown_and_leaves_nothing_behind(
    asterisk: FakeAsterisk, seen: Seen
) -> None:
    asterisk.mute.add("Hangup")
    for _ in range(50):
        with pytest.raises(Unknown, match="no answer within"):
            await seen.link.act({"Action": "Hangup"}, timeout=0.001)
    connection = seen.link._connection
    assert connection is not None
    assert all(action["Action"] == "Ping" for action in connection.responses.values())
    late = asterisk.received[-1]["ActionID"]
    asterisk.send(message({"Response": "Success", "ActionID": late}))
    asterisk.event("Newchannel", X="1")
    await until(lambda: seen.messages)


async def test_an_action_is_sent_once_though_the_link_breaks(
    asterisk: FakeAsterisk, seen: Seen
) -> None:
    asterisk.mute |= {"Originate", "Command"}
    waiting = [
        asyncio.get_running_loop().create_task(seen.link.act({"Action": name}))
        for name in ("Originate", "Command")
    ]
    await until(lambda: len(asterisk.names()) == 2)
    asterisk.drop()
    # At once, not when its own time is up.
    async with asyncio.timeout(20):
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [Unknown, Unknown]
    await until(lambda: seen.ups == 2)
    asterisk.mute.clear()
    await seen.link.act({"Action": "CoreStatus"})
    assert asterisk.names() == ["Originate", "Command", "CoreStatus"]


async def test_without_a_connection_nothing_is_sent(asterisk: FakeAsterisk, seen: Seen) -> None:
    await asterisk.close()
    await until(lambda: seen.downs)
    with pytest.raises(LinkDown, match="no connection"):
        await seen.link.act({"Action": "Hangup"})
    assert asterisk.names() == []


@pytest.mark.parametrize(
    "action",
    [
        {"Action": "Setvar", "Value": "a\r\nAction: Originate"},
        {"Action": "Setvar", "Value": "a\nb"},
        {"Action": "Setvar", "Value": "a\rb"},
        {"Action": "Setvar", "Value": "a\0b"},
        {"Action": "Setvar\r\nAction: Originate"},
        {"Action": "Setvar", "Val\r\nue": "a"},
        {"Action": "Setvar", "Val: ue": "a"},
        {"Action": "Setvar", "": "a"},
        {"Action": "Setvar", "ActionID": "mine"},
        {"Action": "Setvar", "Value": "x" * 1000},
        {"Action": "Setvar", "Value": "\ud800"},
    ],
)
async def test_what_ami_cannot_carry_is_refused_before_anything_is_sent(
    asterisk: FakeAsterisk, seen: Seen, action: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"."):
        await seen.link.act(action)
    await seen.link.act({"Action": "CoreStatus"})
    assert asterisk.names() == ["CoreStatus"]


async def test_a_secret_with_a_line_break_is_refused() -> None:
    with pytest.raises(ValueError, match="Secret"):
        Seen(1, secret="a\r\nAction: Originate")


# --- the connection


async def test_a_wrong_secret_is_said_aloud_and_retried_slowly(asterisk: FakeAsterisk) -> None:
    with capture_logs() as logs:
        began = time.monotonic()
        seen = Seen(asterisk.port, secret="wrong", refused_retry=Schedule(0.5, 0.5))
        await until(lambda: len(asterisk.received) > 1)
        assert time.monotonic() - began >= 0.5
        await until(lambda: [one["event"] for one in logs].count("link.login_refused") > 1)
        await seen.close()
    told = [entry for entry in logs if entry["event"] == "link.login_refused"]
    assert len(told) == len(asterisk.received) == 2
    assert "manager.conf" in told[0]["remedy"]
    assert "wrong" not in str(logs)
    assert (seen.ups, seen.downs) == (0, 0)


async def test_a_right_secret_later_is_taken(asterisk: FakeAsterisk) -> None:
    asterisk.secret = "another"
    seen = Seen(asterisk.port, refused_retry=Schedule(0.05, 0.05))
    await until(lambda: asterisk.received)
    asterisk.secret = "right"
    await until(lambda: seen.ups)
    await seen.close()


async def test_nobody_listens_then_somebody_does(asterisk: FakeAsterisk) -> None:
    await asterisk.close()
    with capture_logs() as logs:
        seen = Seen(asterisk.port)
        await until(
            lambda: [entry for entry in logs if "cannot connect" in str(entry.get("reason"))]
        )
    await asterisk.open()
    await until(lambda: seen.ups)
    await seen.close()


@pytest.mark.parametrize(
    "banner", [b"", b"SSH-2.0-OpenSSH\r\n", b"x" * 1000, b"HTTP/1.1 400\r\n\r\n"]
)
async def test_something_else_listens(banner: bytes) -> None:
    async with FakeAsterisk() as fake:
        fake.banner = banner
        fake.mute = {"Login"}
        with capture_logs() as logs:
            seen = Seen(fake.port, login_timeout=0.2)
            await until(lambda: [e for e in logs if "manager interface" in str(e.get("reason"))])
        await seen.close()


async def test_a_half_open_link_is_noticed(asterisk: FakeAsterisk) -> None:
    seen = Seen(asterisk.port, ping_every=0.2)
    await until(lambda: seen.ups)
    asterisk.mute.add("Ping")
    with capture_logs() as logs:
        await until(lambda: seen.downs)
    assert any("half open" in str(entry.get("reason")) for entry in logs)
    await seen.close()


async def test_on_up_waits_for_asterisk_to_have_booted(asterisk: FakeAsterisk) -> None:
    asterisk.booted = False
    seen = Seen(asterisk.port)
    await until(lambda: asterisk.logins)
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(LinkDown):  # the answer to the login is on its way
                await seen.link.act({"Action": "CoreStatus"})
                break
            await asyncio.sleep(0.005)
    assert (seen.ups, seen.link.up) == (0, False)
    asterisk.event("FullyBooted")
    await until(lambda: seen.ups)
    await seen.close()


async def test_asterisk_that_never_says_that_it_booted(asterisk: FakeAsterisk) -> None:
    asterisk.booted = False
    with capture_logs() as logs:
        seen = Seen(asterisk.port, boot_timeout=0.1)
        await until(lambda: seen.ups)
    assert "link.not_booted" in [entry["event"] for entry in logs]
    await seen.close()


async def test_when_the_first_reading_fails_the_link_is_tried_again(asterisk: FakeAsterisk) -> None:
    seen = Seen(asterisk.port)
    seen.fail_next = Unknown("Status: not answered")
    with capture_logs() as logs:
        await until(lambda: seen.ups == 2)
    assert "link.on_up_failed" in [entry["event"] for entry in logs]
    assert seen.downs == 1
    await seen.close()


async def test_close_during_a_pause_really_closes(asterisk: FakeAsterisk) -> None:
    await asterisk.close()
    seen = Seen(asterisk.port, retry=Schedule(60, 60))
    await asyncio.sleep(0.05)
    await seen.close()
    await asterisk.open()
    await asyncio.sleep(0.1)
    assert asterisk.received == []


async def test_close_with_actions_on_their_way(asterisk: FakeAsterisk) -> None:
    seen = Seen(asterisk.port)
    await until(lambda: seen.ups)
    asterisk.mute.add("Hangup")
    waiting = asyncio.get_running_loop().create_task(seen.link.act({"Action": "Hangup"}))
    await until(asterisk.names)
    await seen.close()
    with pytest.raises(Unknown):
        await waiting
    assert seen.downs == 1


async def test_many_reconnections_leave_nothing_behind(asterisk: FakeAsterisk) -> None:
    seen = Seen(asterisk.port, retry=Schedule(0.02, 0.02))
    for count in range(1, 11):
        await until(partial(lambda count: seen.ups == count, count))
        asterisk.drop()
        await until(partial(lambda count: seen.downs == count, count))
    await until(lambda: seen.ups == 11)
    gc.collect()
    left = [thing for thing in gc.get_objects() if type(thing).__name__ == "_Protocol"]
    assert len(left) <= 2
    await seen.close()


# --- reading one message


@given(st.binary(max_size=300))
def test_parse_never_raises(block: bytes) -> None:
    for key, value in parse(block).items():
        assert isinstance(key, str)
        assert isinstance(value, str)


def test_parse_reads_empty_values_and_colons() -> None:
    assert parse(b"Event: X\r\nEmpty: \r\nBare:\r\nUri: sip:1@h:5060") == {
        "Event": "X",
        "Empty": "",
        "Bare": "",
        "Uri": "sip:1@h:5060",
    }


def test_a_number_after_the_channel_does_not_rename_it() -> None:
    """`Status` has EffectiveConnectedLineNum, a caller's number too, behind the channel's headers."""
    entry = whole("Status", "PJSIP/1001-1", Effective="1\r\nUniqueid: hotline-9.9\r\nContext: x")
    message = parse(entry.removesuffix(b"\r\n\r\n"))
    assert (message["Uniqueid"], message["Context"]) == ("hotline-1.1", "inbound")
