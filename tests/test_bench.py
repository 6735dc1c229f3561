"""The bench's arithmetic, its scenarios and its telephones. Nothing here is timed: that is what `make bench` is for."""

import asyncio
import gc
import math
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from base.settings import Settings
from base.stalls import LOOK_EVERY
from bench import (
    bare_loop,
    exchange,
    figures,
    floor,
    in_talk,
    measure,
    press,
    rate,
    talks,
    unfinished,
    vault,
    voice,
    watched,
)
from bench.__main__ import _ALONE
from bench.figures import SippCalls, TableRow
from bench.phone import BenchPhones
from bench.side import NUMBER
from hotline.machine.programs import ProgramError
from recorder import spool
from telephony.channels import Calls

RTP = 0x80
"""The first byte of a packet of sound (RFC 3550)."""
SCENARIOS = sorted((Path(measure.__file__).parent).glob("*.xml"))


def test_percentile_is_a_measured_value() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [figures.percentile(values, percent) for percent in (0, 50, 95, 99, 100)] == [
        1,
        50,
        95,
        99,
        100,
    ]
    assert figures.percentile([7.0], 99) == 7
    assert figures.percentile([1.0, 2.0, 3.0], 95) == 3
    with pytest.raises(ValueError, match="nothing was measured"):
        figures.percentile([], 50)


def test_sipp_last_line_counts() -> None:
    header = "StartTime;TotalCallCreated;SuccessfulCall(P);SuccessfulCall(C);FailedCall(C);\n"
    assert figures.sipp_calls(header + "a;1;0;0;0;\n" + "b;800;7;798;2;\n") == SippCalls(
        800, 798, 2
    )
    with pytest.raises(ValueError, match="counted nothing"):
        figures.sipp_calls(header)
    with pytest.raises(ValueError, match="no column"):
        figures.sipp_calls("StartTime;Other;\n1;2;\n")


def test_gaps_are_those_of_one_agent() -> None:
    marks = [
        (1.0, "1001", "invite"),
        (2.0, "1001", "bye"),
        (2.5, "1002", "invite"),
        (3.0, "1001", "invite"),
        (4.0, "1002", "bye"),
        (4.5, "1001", "bye"),
        (6.0, "1002", "invite"),
    ]
    assert figures.gaps(marks) == [1.0, 2.0]


def test_the_floor_alone_is_measured_with_as_many_waiting_as_promised() -> None:
    cost = floor.measure(50, calls=40, agents=20, queues=5)
    # Seven facts a call, of which the floor itself makes one.
    assert (cost.waiting, cost.facts) == (50, 40 * 6)
    assert cost.micros > 0
    held = floor.table([cost, replace(cost, micros=50.1)]).split("\n")[2:]
    assert ["falls short" in line for line in held] == [cost.micros > floor.LIMIT, True]


def test_table_is_markdown_and_says_what_falls_short() -> None:
    text = figures.table(
        [
            TableRow("gap", "923 ms", "5.6 ms", "165 × shorter", "≤ 15 ms", True),
            TableRow("cost", "1 ms", "2 ms", "2.00", "no more", False),
            TableRow("remark", "", "3 ms"),
        ]
    )
    rows = text.split("\n")
    assert len({len(row) for row in rows}) == 1
    assert re.fullmatch(r"\|( -+:? \|){6}", rows[1])
    assert [row.rsplit("|", 2)[1].strip() for row in rows[2:]] == ["holds", "**falls short**", ""]


def test_a_table_with_limits_has_columns_for_them() -> None:
    gap = TableRow("gap", "923 ms", "6 ms", "154 × shorter", limit="4 ms", to_limit="1.50")
    head, _, first, second = figures.table([gap, TableRow("remark", "", "3 ms")]).split("\n")
    assert [cell.strip() for cell in head.split("|")][2:7] == [
        "app_queue",
        "Hotline",
        "limit",
        "to app_queue",
        "to the limit",
    ]
    assert [cell.strip() for cell in first.split("|")][4:7] == ["4 ms", "154 × shorter", "1.50"]
    assert len(first) == len(second)


def test_a_ratio_is_that_of_each_round() -> None:
    beside = figures.ratios([1.0, 9.0, 2.0], [1.0, 10.0, 4.0])
    assert figures.spread(beside) == "0.90 (0.50 to 1.00)"
    assert figures.spread(beside[:1]) == "1.00"
    with pytest.raises(ValueError, match="longer"):
        figures.ratios([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0056, "5.6 ms"), (0.923, "923 ms"), (1.5, "1500 ms")]
)
def test_milliseconds(seconds: float, text: str) -> None:
    assert figures.milliseconds(seconds) == text


def measured() -> measure.Results:
    """All measurements, with rounds in which the machine is a different one for all sides alike."""
    results = measure.Results()
    for side, gap in (("app_queue", 0.5), ("hotline", 0.01), ("bare loop", 0.008)):
        results.backlog[side] += [gap, gap * 1.1]
        results.idle[side] += [gap / 100]
    shares = {"app_queue": 1, "hotline": 0.8, "bare loop": 0.6, "dialplan": 0.5}
    shares["dialplan, not recorded"] = 0.4
    for busy in (0.5, 0.9, 0.7):
        for side, share in shares.items():
            deciding = 0.1 * share if side == "hotline" else 0
            cost = {"asterisk": 0.01 * busy * share, "bare loop": 0.0002 * busy}
            cost["controller"] = 0.01 * busy * deciding
            results.load[80][side].append(measure.Load(800, 0, cost))
            results.waiting[side].append({"asterisk": busy * share, "controller": busy * deciding})
    for side in ("app_queue", "hotline"):
        # A talk costs 2 ms a second, recorded 3 and 3.3 ms.
        results.talks[side] += [0.002] * 3
        results.talks[f"{side} recorded"] += [0.003 if side == "app_queue" else 0.0033] * 3
    for busy in (1.0, 1.5, 1.2):
        cost = {"plain": 0.003 * busy, "listened to": 0.0045 * busy, "three-way": 0.006 * busy}
        results.in_talk.append(in_talk.InTalk(cost, [0.2, 0.25]))
        results.many["plain"].append(0.5 * busy)
        results.many["three-way"].append(1.0 * busy)
    results.yields += [0.007] * 99 + [0.150]
    results.failed["hotline"] = 1
    return results


def test_every_row_of_the_table_from_results() -> None:
    results = measured()
    verdicts = {line.name: line.holds for line in measure.table_rows(results)}
    assert verdicts["backlog, 4 agents: hang-up → next INVITE, median"] is True
    assert verdicts["80 calls/s, recorded: Asterisk's CPU a call, limit: the dialplan"] is True
    controller = "80 calls/s, recorded: the controller's CPU a call, limit: the bare loop"
    assert verdicts[controller] is True
    waiting = "300 callers waiting: CPU, Asterisk and controller, limit: the dialplan"
    assert verdicts[waiting] is True
    assert verdicts["calls that failed in the other measurements"] is False
    added = next(line for line in measure.table_rows(results) if "recording adds" in line.name)
    assert (added.app_queue, added.hotline) == ("1.00 ms", "1.30 ms")
    assert added.ratio == "1.30 (1.30 to 1.30)"
    name = "a callback yields (100 times): citizen waits → INVITE"
    assert verdicts[f"{name}, p99"] is True
    assert verdicts[f"{name}, longest"] is None
    results.yields += [0.101] * 2
    late = [line for line in measure.table_rows(results) if "102 times" in line.name]
    assert [(line.app_queue, line.holds) for line in late if "p99" in line.name] == [("–", False)]
    assert measure.table_rows(measure.Results())


def test_what_others_in_a_talk_cost_stands_beside_a_plain_one_of_the_same_round() -> None:
    results = measured()
    rows = {row.name: row for row in measure.table_rows(results)}
    heard = "a supervisor's request → first sound (6 times), median, p95"
    assert (rows[heard].hotline, rows[heard].holds) == ("225 ms, 250 ms", True)
    listened = rows["a second of a recorded talk, listened to: Asterisk's CPU"]
    assert (listened.hotline, listened.ratio) == ("5.4 ms", "1.50 (1.50 to 1.50) × a plain one")
    many = "100 recorded talks at once, three-way: processors that Asterisk keeps busy"
    assert rows[many].hotline == "1.20"
    results.in_talk.append(in_talk.InTalk(results.in_talk[0].cost, [0.5]))
    late = [row for row in measure.table_rows(results) if "first sound (7" in row.name]
    assert [row.holds for row in late] == [False]


def test_what_a_survey_costs_stands_beside_hotline_without_it() -> None:
    results = measure.Results()
    for side, gap, cost in (("hotline", 0.0100, 0.005), ("hotline, survey on", 0.0109, 0.0055)):
        own = results.surveyed[side] = measure.Results()
        own.idle[side] += [gap] * 3
        spent = {"asterisk": cost, "controller": cost / 10}
        own.load[40][side].append(measure.Load(800, 0, spent))
    rows = {row.name: row for row in measure.table_rows(results)}
    gap_row = rows["survey on: idle agent: greeting over → INVITE, median, limit: off"]
    assert (gap_row.limit, gap_row.to_limit, gap_row.holds) == ("10.0 ms", "+0.9 ms", True)
    cost_row = rows["survey on, 40 calls/s: asterisk's CPU a call, limit: off"]
    assert (cost_row.hotline, cost_row.to_limit) == ("5.5 ms", "1.10")
    results.surveyed["hotline, survey on"].idle["hotline, survey on"] += [0.02] * 9
    (late,) = [row for row in measure.table_rows(results) if "survey on: idle" in row.name]
    assert late.holds is False


def test_what_a_call_costs_stands_beside_app_queue_and_beside_the_limit_of_the_same_round() -> None:
    rows = {row.name: row for row in measure.table_rows(measured())}
    call = rows["80 calls/s, recorded: Asterisk's CPU a call, limit: the dialplan"]
    assert (call.app_queue, call.hotline, call.limit) == ("7.0 ms", "5.6 ms", "3.5 ms")
    assert (call.ratio, call.to_limit) == ("0.80 (0.80 to 0.80)", "1.60 (1.60 to 1.60)")
    assert rows["80 calls/s, recorded: … limit: the bare loop"].to_limit.startswith("1.33")
    plain = rows["80 calls/s, recorded: … limit: the dialplan, not recorded"]
    assert plain.to_limit.startswith("2.00")
    controller = rows["80 calls/s, recorded: the controller's CPU a call, limit: the bare loop"]
    assert (controller.ratio, controller.limit) == ("10 % of Asterisk's", "0.1 ms")
    waiting = rows["300 callers waiting: CPU, Asterisk and controller, limit: the dialplan"]
    assert (waiting.ratio, waiting.to_limit) == ("0.88 (0.88 to 0.88)", "1.76 (1.76 to 1.76)")
    gap = rows["backlog, 4 agents: hang-up → next INVITE, median"]
    assert (gap.limit, gap.to_limit) == ("8.4 ms", "1.25")


@pytest.mark.parametrize(
    ("what", "row"),
    [
        ("gap", "backlog, 4 agents: hang-up → next INVITE, median"),
        ("asterisk", "80 calls/s, recorded: Asterisk's CPU a call, limit: the dialplan"),
        ("controller", "80 calls/s, recorded: the controller's CPU a call, limit: the bare loop"),
        ("waiting", "300 callers waiting: CPU, Asterisk and controller, limit: the dialplan"),
    ],
)
def test_a_goal_that_is_missed_falls_short(what: str, row: str) -> None:
    results = measured()
    if what == "gap":
        results.backlog["bare loop"] = [0.006]
    elif what == "waiting":
        for one in results.waiting["hotline"]:
            one["controller"] += 0.03
    else:
        for load in results.load[80]["hotline"]:
            load.cost[what] *= 1.1
    assert {line.name: line.holds for line in measure.table_rows(results)}[row] is False


def test_scenarios_are_there() -> None:
    assert [path.stem for path in SCENARIOS] == ["caller", "waiter"]


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenarios_are_well_formed(path: Path) -> None:
    scenario = ElementTree.parse(path).getroot()  # noqa: S314 our own file
    assert scenario.tag == "scenario"
    sent = [" ".join((send.text or "").split()) for send in scenario.iter("send")]
    assert sent[0].startswith("INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0")
    assert "m=audio [sink] RTP/AVP 8" in sent[0]
    assert sent[1].startswith("ACK ")
    assert [recv.get("response") for recv in scenario.iter("recv")].count("200") >= 1


class Exchange(asyncio.DatagramProtocol):
    """The least that a telephone needs at the other end: every message is kept, and `say` sends one."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[str] = asyncio.Queue()
        self.sound: asyncio.Queue[bytes] = asyncio.Queue()
        self.phone = ("", 0)

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport
        self.here = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if data[0] == RTP:
            self.sound.put_nowait(data)
            return
        self.phone = address
        self.heard.put_nowait(data.decode())

    def say(self, first: str, call: str, sequence: str, body: str = "") -> None:
        head = (
            "Via: SIP/2.0/UDP 127.0.0.1;branch=z9\r\nFrom: <sip:139@127.0.0.1>;tag=a\r\n"
            f"To: <sip:1001@127.0.0.1>\r\nCall-ID: {call}\r\nCSeq: {sequence}\r\n"
            f"Contact: <sip:exchange@127.0.0.1:{self.here[1]}>\r\n\r\n{body}"
        )
        self.transport.sendto(f"{first}\r\n{head}".encode(), self.phone)

    async def next(self) -> str:
        async with asyncio.timeout(20):
            return (await self.heard.get()).split("\r\n")[0]


@asynccontextmanager
async def signed_in() -> AsyncIterator[tuple[BenchPhones, Exchange]]:
    """The phone of 1001, which answers at once."""
    loop = asyncio.get_running_loop()
    transport, exchange = await loop.create_datagram_endpoint(Exchange, local_addr=("127.0.0.1", 0))
    try:
        async with BenchPhones(exchange.here, answer_after=0.0) as phones:
            async with asyncio.TaskGroup() as group:
                group.create_task(phones.register(["1001"], "secret"))
                async with asyncio.timeout(20):
                    register = await exchange.heard.get()
                assert register.startswith("REGISTER ")
                call_id = re.search(r"Call-ID: (\S+)", register)
                assert call_id is not None
                exchange.say("SIP/2.0 200 OK", call_id[1], "1 REGISTER")
            yield phones, exchange
    finally:
        transport.close()


async def test_phone_rings_talks_and_hangs_up() -> None:
    async with signed_in() as (phones, exchange):
        phones.talk = lambda _agent, _caller: 0.0
        exchange.say("INVITE sip:1001@127.0.0.1 SIP/2.0", "one", "7 INVITE")
        assert await exchange.next() == "SIP/2.0 180 Ringing"
        assert await exchange.next() == "SIP/2.0 200 OK"
        exchange.say("INVITE sip:1001@127.0.0.1 SIP/2.0", "two", "8 INVITE")
        assert await exchange.next() == "SIP/2.0 486 Busy Here"
        assert phones.clashes == 1
        exchange.say("ACK sip:1001@127.0.0.1 SIP/2.0", "one", "7 ACK")
        assert (await exchange.next()).startswith("BYE sip:exchange@127.0.0.1")
        exchange.say("SIP/2.0 200 OK", "one", "1 BYE")
        exchange.say("OPTIONS sip:1001@127.0.0.1 SIP/2.0", "three", "9 OPTIONS")
        assert await exchange.next() == "SIP/2.0 200 OK"
        assert phones.in_talk == 0
        assert [(mark.phone, mark.what, mark.caller) for mark in phones.marks] == [
            ("1001", "invite", "139"),
            ("1001", "answered", "139"),
            ("1001", "bye", "139"),
        ]
        moments = [mark.moment for mark in phones.marks]
        assert moments == sorted(moments)


async def offered(
    phones: BenchPhones, exchange: Exchange
) -> tuple[asyncio.DatagramTransport, Exchange]:
    """A phone that speaks, and has picked up a call: where its sound is to come in, and who hears it there."""
    phones.speak, phones.talk = True, lambda _agent, _caller: math.inf
    loop = asyncio.get_running_loop()
    wire, ear = await loop.create_datagram_endpoint(Exchange, local_addr=("127.0.0.1", 0))
    offer = f"m=audio {ear.here[1]} RTP/AVP 8\r\n"
    exchange.say("INVITE sip:1001@127.0.0.1 SIP/2.0", "one", "7 INVITE", offer)
    assert await exchange.next() == "SIP/2.0 180 Ringing"
    assert await exchange.next() == "SIP/2.0 200 OK"
    return wire, ear


async def test_phones_that_speak_send_sound_from_the_answer_until_they_hang_up() -> None:
    async with signed_in() as (phones, exchange):
        wire, ear = await offered(phones, exchange)
        assert phones._mouth.where == {}
        exchange.say("ACK sip:1001@127.0.0.1 SIP/2.0", "one", "7 ACK")
        async with asyncio.timeout(20):
            heard = [await ear.sound.get() for _ in range(3)]
        assert {len(packet) for packet in heard} == {12 + 160}
        numbers = [int.from_bytes(packet[2:4]) for packet in heard]
        assert numbers == [*range(numbers[0], numbers[0] + 3)]
        phones.hang_up_all()
        assert (await exchange.next()).startswith("BYE ")
        exchange.say("SIP/2.0 200 OK", "one", "1 BYE")
        exchange.say("OPTIONS sip:1001@127.0.0.1 SIP/2.0", "two", "9 OPTIONS")
        assert await exchange.next() == "SIP/2.0 200 OK"
        assert phones._mouth.where == {}
        wire.close()


async def test_a_phone_that_hears_sends_from_where_it_hears() -> None:
    """Asterisk sends sound to where it gets some from, whatever the answer said."""
    async with signed_in() as (phones, exchange):
        phones.hear("1001")
        wire, ear = await offered(phones, exchange)
        exchange.say("ACK sip:1001@127.0.0.1 SIP/2.0", "one", "7 ACK")
        async with asyncio.timeout(20):
            packet = await ear.sound.get()
        assert packet[12:] == b"\xd5" * 160
        assert phones._mouth.where == {}
        wire.close()


async def test_a_phone_that_hears_notes_the_first_loud_packet() -> None:
    async with signed_in() as (phones, exchange):
        phones.hear("1001")
        exchange.say("INVITE sip:1001@127.0.0.1 SIP/2.0", "one", "7 INVITE")
        assert await exchange.next() == "SIP/2.0 180 Ringing"
        async with asyncio.timeout(20):
            answer = await exchange.heard.get()
        offered = re.search(r"m=audio (\d+) ", answer)
        assert offered is not None
        before = time.perf_counter()
        header = bytes([RTP]) + bytes(11)
        for quiet in (b"\xd5", b"\x55", b"\xd1"):
            exchange.transport.sendto(header + quiet * 160, ("127.0.0.1", int(offered[1])))
        await asyncio.sleep(0.05)
        assert phones.first_sound == 0.0, "silence in both signs, and a rustle"
        exchange.transport.sendto(header + b"\x2a" * 160, ("127.0.0.1", int(offered[1])))
        async with asyncio.timeout(20):
            while not phones.first_sound:
                await asyncio.sleep(0.01)
        assert phones.first_sound > before
        phones.hear("1002")
        assert phones.first_sound == 0.0


def test_a_talk_without_its_recording_is_no_measurement() -> None:
    none = {"app_queue": 0, "hotline": 3}
    talks._check(none, {"app_queue": 12, "hotline": 15})
    for made in ({"app_queue": 0, "hotline": 15}, {"app_queue": 12, "hotline": 27}):
        with pytest.raises(ProgramError, match="12 recordings were expected"):
            talks._check(none, made)


async def test_a_citizen_who_is_called_back_lets_it_ring_and_the_agent_hears_that() -> None:
    async with signed_in() as (phones, exchange):
        phones.talk = lambda agent, caller: math.inf if (agent, caller) == ("1001", "139") else 0
        exchange.say("INVITE sip:1001@127.0.0.1 SIP/2.0", "agent", "7 INVITE")
        assert await exchange.next() == "SIP/2.0 180 Ringing"
        assert await exchange.next() == "SIP/2.0 200 OK"
        exchange.say("ACK sip:1001@127.0.0.1 SIP/2.0", "agent", "7 ACK")
        exchange.say("INVITE sip:+8613900000000@127.0.0.1 SIP/2.0", "citizen", "7 INVITE")
        assert await exchange.next() == "SIP/2.0 180 Ringing"
        assert phones.called_back == 1
        exchange.say("CANCEL sip:+8613900000000@127.0.0.1 SIP/2.0", "citizen", "7 CANCEL")
        assert await exchange.next() == "SIP/2.0 200 OK"
        assert await exchange.next() == "SIP/2.0 487 Request Terminated"
        assert (phones.called_back, phones.in_talk) == (0, 1), "the agent has not hung up"


def test_encryption_is_measured_by_all_of_the_sound() -> None:
    rows = vault.measure(1 << 20)
    assert rows[0].name == "encrypt 1 MB, with both hashes"
    assert all(row.hotline for row in rows)


def test_what_finishing_costs_is_measured_of_the_same_file(tmp_path: Path) -> None:
    raw = tmp_path / "60.raw"
    press._speak(raw, 60)
    assert raw.stat().st_size == 60 * 32_000
    for cost in (press._plain(raw), press._work(raw)):
        assert cost.cpu > 0.01
        assert cost.clock > 0.01
        assert cost.memory > 1 << 20
    assert list(tmp_path.iterdir()) == [raw]


def test_each_measurement_has_a_name_of_its_own() -> None:
    """`--only` chooses by it: one that two had chose only one of them."""
    assert not set(measure.NAMES) & _ALONE.keys()


def test_a_backlog_is_real_raw_files_of_calls_that_the_diary_knows(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    unfinished._make(settings, 3)
    found, odd = spool.look(settings.spool_dir)
    assert (len(found), odd) == (3, [])
    assert {raw.size for raw in found.values()} == {3 * 32_000}
    database = tmp_path / "hotline.db"
    with closing(sqlite3.connect(database)) as connection:
        ended = connection.execute("SELECT call FROM diary WHERE kind = 'CallEnded'").fetchall()
    assert {call for (call,) in ended} == found.keys()
    with pytest.raises(OSError, match="has 0 of 3 recordings"):
        unfinished._check(database, 3)
    log = tmp_path / "recorder.log"
    log.write_text('{"event": "recorder.started"}\n' + '{"event": "recording.backlog"}\n' * 2)
    assert unfinished._told(log) == 2


def test_listening_is_measured_beside_a_level() -> None:
    """A minute with 20 s of music: a level takes it for speech, voice activity does not."""
    speed, missed, music = voice.measure(1)
    assert int(speed.hotline) > 0
    assert int(speed.app_queue) > 0
    assert float(missed.hotline.split()[0]) < 6
    assert float(music.app_queue.split()[0]) > 90
    assert float(music.hotline.split()[0]) == 0


class Wire(asyncio.Transport):
    """What the bare loop has written, and whether it has hung up."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True


def arrives(loop: bare_loop.Loop) -> tuple[bare_loop.LoopSession, Wire]:
    """A caller whose environment comes in two parts."""
    caller, wire = bare_loop.LoopSession(loop), Wire()
    caller.connection_made(wire)
    caller.data_received(b"agi_network: yes\nagi_uniqueid: h")
    assert wire.written == b""
    caller.data_received(b"otline-1.1\n\n")
    return caller, wire


def test_the_bare_loop_serves_whoever_came_first_by_whoever_is_free() -> None:
    loop = bare_loop.Loop(["1001"])
    first, wire = arrives(loop)
    assert wire.written == b"EXEC Dial PJSIP/1001,15.000,miI\n"
    second, other = arrives(loop)
    third, gone = arrives(loop)
    fourth, last = arrives(loop)
    assert other.written == gone.written == last.written == b"SET MUSIC ON\n"
    second.data_received(b"200 result=0\n")
    assert not other.closed
    third.data_received(b"200 result=0\nHANGUP\n")
    assert gone.closed
    third.connection_lost(None)
    loop.hung_up("trunk")
    loop.hung_up("1001")
    assert other.written.endswith(b"EXEC Dial PJSIP/1001,15.000,miI\n")
    # The answer to the music, which had been asked for before, is not the talk's end.
    loop.hung_up("1001")
    assert last.written.endswith(b"EXEC Dial PJSIP/1001,15.000,miI\n")
    fourth.data_received(b"200 result=0\n")
    assert not last.closed
    fourth.data_received(b"200 result=-1\n")
    first.data_received(b"200 result=-1\n")
    assert (last.closed, wire.closed) == (True, True)
    loop.hung_up("1001")
    assert arrives(loop)[1].written.startswith(b"EXEC Dial PJSIP/1001,")


async def test_the_bare_loop_hears_hang_ups_of_agents_only() -> None:
    loop, reader = bare_loop.Loop(["1001"]), asyncio.StreamReader()
    arrives(loop)
    waiting = [arrives(loop)[1] for _ in range(2)]
    for name, channel in (
        ("HangupRequest", "PJSIP/1001-00000001"),
        ("Hangup", "PJSIP/trunk-00000002"),
        ("Hangup", "PJSIP/1001-00000001"),
    ):
        reader.feed_data(f"Event: {name}\r\nChannel: {channel}\r\nCause: 16\r\n\r\n".encode())
    reader.feed_eof()
    async with asyncio.timeout(5):
        await bare_loop.hear(reader, loop)
    assert [b"Dial" in wire.written for wire in waiting] == [True, False]


class Controller:
    """The least of a controller: hears AMI, and has each caller hear a prompt and music, and dials an agent."""

    def __init__(self) -> None:
        self.heard: list[dict[str, str]] = []
        self.environments: list[bytes] = []

    async def listen_to(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"Action: Login\r\nActionID: 1\r\nUsername: a\r\nSecret: b\r\n\r\n")
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readline()
            while True:
                block = (await reader.readuntil(b"\r\n\r\n")).decode().strip()
                event = dict(line.split(": ", 1) for line in block.split("\r\n"))
                self.heard += [event] if "Event" in event else []
        writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.environments.append(await reader.readuntil(b"\n\n"))
        # The second command ends the prompt.
        writer.write(b'STREAM FILE a ""\n')
        await asyncio.sleep(0)
        for command in (b"SET MUSIC ON\n", b"EXEC Dial PJSIP/1001,15.000,miI\n"):
            writer.write(command)
            await reader.readline()
        assert await reader.readline() == b"200 result=-1\n"
        writer.close()


async def test_the_scripted_asterisk_plays_a_call_as_it_was_recorded(
    monkeypatch: pytest.MonkeyPatch, free_ports: range
) -> None:
    monkeypatch.setattr(exchange, "ANSWER_PAUSE", 0.0)
    monkeypatch.setattr(exchange, "PROMPT", 60.0)
    controller = Controller()
    server = await asyncio.start_server(controller.serve, "127.0.0.1", 0)
    ami = free_ports[0]
    place = server.sockets[0].getsockname()
    scripted = exchange.Exchange(
        place, ["1001"], lambda: 0.0, agi_secret="of-agi", hep_secret="of-hep"
    )
    async with server, asyncio.TaskGroup() as group, asyncio.timeout(10), scripted.listen(ami):
        group.create_task(controller.listen_to(ami))
        while not controller.heard:
            await asyncio.sleep(0.01)
        for calls in (1, 2):
            scripted.call(again=False)
            while [event["Event"] for event in controller.heard].count("Hangup") < 2 * calls:
                await asyncio.sleep(0.01)
    first = controller.heard[1:9]
    assert [event["Event"] for event in first] == [
        *("Newchannel", "Newstate", "Newchannel", "Newstate", "Newstate"),
        *("HangupRequest", "Hangup", "Hangup"),
    ]
    assert len({event["Uniqueid"] for event in first}) == 2
    assert {event["Linkedid"] for event in first} == {first[0]["Uniqueid"]}
    assert first[2]["Channel"].startswith("PJSIP/1001-")
    assert controller.heard[9]["Uniqueid"] not in {event["Uniqueid"] for event in first}
    assert not [event for event in controller.heard if "@{" in str(event)]
    calls_ = Calls(numbers={NUMBER})
    told = [type(fact).__name__ for event in first for fact in calls_.read(event)]
    assert told == [
        *("CallArrived", "OfferRinging", "OfferAnswered", "TalkEnded", "CallEnded"),
    ]
    assert controller.environments[0].endswith(b"agi_arg_7: of-agi\n\n")
    assert (scripted.counted.talks, len(scripted.counted.gaps)) == (2, 1)
    assert (scripted.waiting, scripted.talking, scripted.lost) == (0, 0, 0)
    asked = {"Action": "Getvar", "ActionID": "2", "Variable": "CHANNEL(rtcp,all)"}
    assert b"\r\nValue: rxcount=" in scripted._answer(asked)


async def test_a_stall_of_the_loop_is_seen_with_the_collectors_share(tmp_path: Path) -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        gc.collect(0)
        time.sleep(0.05)  # noqa: ASYNC251 the stall
        await asyncio.sleep(LOOK_EVERY)

    file = tmp_path / "watched.json"
    before = time.perf_counter()
    await watched._watched(work(), file)
    found = max(
        watched.WatchedStall.read(file, before, time.perf_counter()), key=lambda one: one.clock
    )
    assert found.clock >= 0.05 - LOOK_EVERY
    assert 0 < found.collector <= found.clock
    assert watched.WatchedStall.read(file, before - 2, before) == []


def run_of(cost: float, gap: float, cpu: float) -> rate.Run:
    """A run with one stall, longer by the clock."""
    return rate.Run(249.6, [gap] * 9, cost, [watched.WatchedStall(1.0, 0.1, cpu, 0.012)], 0, 50)


def test_the_rate_holds_or_falls_short_by_the_median_round() -> None:
    good, bad = run_of(0.001, 0.009, 0.019), run_of(0.001, 0.011, 0.021)
    for runs, verdict in (([good, bad, good], True), ([bad, good, bad], False)):
        rows = {
            row.name.rpartition(": ")[2]: row
            for row in rate.rate_rows(runs, [run_of(0.0005, 0.003, 0.0)] * 3)
        }
        assert rows["hang-up → Dial, p99"].holds is verdict
        assert rows["longest stall, in the loop's processor time"].holds is False
        assert (rows["CPU a call"].limit, rows["CPU a call"].to_limit[:4]) == ("0.5 ms", "2.00")
        assert rows["calls a second"].hotline == "250"
        assert rows["… of it the garbage collector"].hotline == "12.0 ms"
        assert rows["… longest by the clock"].hotline == "100 ms"
    lost = replace(good, lost=1)
    rows = {row.name.rpartition(": ")[2]: row for row in rate.rate_rows([lost], [good])}
    assert rows["calls lost"].holds is False
    assert rows["longest stall, in the loop's processor time"].holds is True


def test_a_size_costs_more_by_the_ratio_of_each_round() -> None:
    small, same, more = (run_of(cost, 0.004, 0.001) for cost in (0.002, 0.002, 0.003))
    assert [row.holds for row in rate.size_rows([(small, same)] * 3)][1] is True
    worse = rate.size_rows([(small, more), (small, same), (small, more)])[1]
    assert (worse.ratio, worse.holds) == ("1.50 (1.00 to 1.50)", False)
    assert worse.name.startswith("1,000 agents, 1,000 waiting")
