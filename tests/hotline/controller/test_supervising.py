"""Who may listen to talks, and the audit log of every minute."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks.task import Task
from acd.floor import Caller
from acd.rules import tables as rule_tables
from base import database, migrations
from base.bus import Refused
from diary.writer import Diary
from facts import SupervisionChanged, SupervisionEnded, SupervisionStarted, TalkStopped
from facts.live import SupervisorNow
from facts.requests import ChangeListening, EndTalk, LeaveTalk, ListenToTalk, TakeTalk
from facts.supervise import SupervisionEnd, SupervisionMode
from facts.times import MINUTE, SECOND
from hotline.controller.supervising import Asked, Supervising, queue_of_talk
from telephony.channels import Talk
from telephony.supervised import SupervisionRefused
from telephony.supervisors import SupervisionMark
from web.accounts import accounts, audit

T = 1_763_731_200 * SECOND
CALL = "n-1763731200.1"
PASSWORD = "correct horse battery"
LISTEN, WHISPER, TAKE = SupervisionMode.LISTEN, SupervisionMode.WHISPER, SupervisionMode.TAKE


class Floor:
    """What supervisors do, as `telephony.supervision` would say it."""

    def __init__(self) -> None:
        self.did: list[Any] = []
        self.shown: list[SupervisorNow] = []
        self.refuse = ""

    async def listen(
        self,
        agent: str,
        supervisor: str,
        mode: SupervisionMode = LISTEN,
        *,
        by: str = "",
        may_step_in: bool = False,
    ) -> str:
        if self.refuse:
            raise SupervisionRefused(self.refuse)
        self.did.append(("listen", agent, supervisor, mode, by, may_step_in))
        return "the phone of agent 1003 rings"

    async def change(
        self, agent: str, supervisor: str, mode: SupervisionMode, *, by: str = ""
    ) -> str:
        self.did.append(("change", agent, supervisor, mode, by))
        return "changed"

    async def leave(self, agent: str, supervisor: str) -> str:
        self.did.append(("leave", agent, supervisor))
        return "left"

    async def end(self, agent: str, *, by: str, reason: str = "") -> str:
        self.did.append(("end", agent, by, reason))
        return "ended"

    def dialled(
        self, leg: str, channel: str, supervisor: str, mark: SupervisionMark
    ) -> Mapping[str, str]:
        if self.refuse:
            raise SupervisionRefused(self.refuse)
        return {"leg": leg, "mark": str(mark)}

    def now(self) -> list[SupervisorNow]:
        return self.shown


def no_queue(_agent: str) -> str:
    """Nobody knows the queue of this talk."""
    return ""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    made = database.engine(f"sqlite+aiosqlite:///{tmp_path}/hotline.db")
    await migrations.upgrade(made)
    yield made
    await made.dispose()


async def test_each_request_is_carried_out_or_refused(engine: AsyncEngine) -> None:
    floor = Floor()
    doing = Supervising(engine, floor, (), queue_of=no_queue)
    for asked in (
        ListenToTalk("1001", "1003", "whisper", "li", 1),
        ChangeListening("1001", "1003", "step_in", "li"),
        LeaveTalk("1001", "1003"),
        TakeTalk("1001", "1003", "li"),
        EndTalk("1001", "li", "why"),
    ):
        assert (await doing.answer(asked)).said
    assert floor.did == [
        ("listen", "1001", "1003", WHISPER, "li", True),
        ("change", "1001", "1003", SupervisionMode.STEP_IN, "li"),
        ("leave", "1001", "1003"),
        ("listen", "1001", "1003", TAKE, "li", True),
        ("end", "1001", "li", "why"),
    ]
    with pytest.raises(Refused, match="there is no mode shout"):
        await doing.answer(ListenToTalk("1001", "1003", "shout"))
    floor.refuse = "agent 1001 is not in a talk"
    with pytest.raises(Refused, match="not in a talk"):
        await doing.answer(ListenToTalk("1001", "1003"))


async def test_only_phones_of_those_who_may(engine: AsyncEngine) -> None:
    for name, role, agent in (
        ("li", "supervisor", "1003"),
        ("wang", "agent", "1001"),
        ("guest", "guest", "1005"),
    ):
        await accounts.add(engine, name, role, PASSWORD, T, agent)
    floor = Floor()
    doing = Supervising(engine, floor, ("1004",), queue_of=no_queue)
    told = await doing.dialled("n-1.9", "PJSIP/1003-9", "1003", "1001")
    assert told == {"leg": "n-1.9", "mark": " 1001 1 li"}
    told = await doing.dialled("n-1.9", "PJSIP/1004-9", "1004", "1001")
    assert told == {"leg": "n-1.9", "mark": " 1001 1 "}, "the settings allow it"
    for phone in ("1001", "1002", "1005"):
        told = await doing.dialled("n-1.9", f"PJSIP/{phone}-9", phone, "1002")
        assert told == "no account of this agent may listen to talks"
    floor.refuse = "agent 1001 is not in a talk"
    assert await doing.dialled("n-1.9", "PJSIP/1003-9", "1003", "1001") == floor.refuse
    await engine.dispose()


class Known:
    """What the floor knows: a citizen in queue tax, and a callback of queue police."""

    def __init__(self) -> None:
        self.callers = {CALL: Caller(CALL, queue="tax")}
        task = Task(7, "+861", "police", T, T + SECOND, 3, 0, "", "", "", 0, T)
        self.tasks = {task.id: task}


OF_THE_TALK: list[Asked] = [
    ListenToTalk("1001", "1003", "listen", "li", 1),
    ListenToTalk("1001", "1003", "whisper", "li", 1),
    ChangeListening("1001", "1003", "step_in", "li"),
    TakeTalk("1001", "1003", "li"),
    EndTalk("1001", "li", "why"),
]


async def limited(engine: AsyncEngine, *queues: str) -> None:
    """The account li, a supervisor with the phone 1003, who may supervise talks of these queues."""
    async with engine.begin() as connection:
        for name in ("tax", "police"):
            await connection.execute(insert(rule_tables.queue).values(name=name, settings={}))
    await accounts.add(engine, "li", "supervisor", PASSWORD, T, "1003", queues)


@pytest.mark.parametrize("queue", ["police", "default", ""])
@pytest.mark.parametrize("asked", OF_THE_TALK, ids=lambda one: one.name)
async def test_a_talk_of_another_queue_is_out_of_reach(
    engine: AsyncEngine, asked: Asked, queue: str
) -> None:
    await limited(engine, "tax")
    floor = Floor()
    doing = Supervising(engine, floor, (), queue_of=lambda _: queue)
    with pytest.raises(Refused, match="not of a queue whose talks this account") as refused:
        await doing.answer(asked)
    assert (refused.value.code, refused.value.zh[:9]) == ("not_your_queue", "话务员 1001 ")
    assert floor.did == []


@pytest.mark.parametrize("asked", OF_THE_TALK, ids=lambda one: one.name)
async def test_a_talk_of_ones_own_queue_is_within_reach(engine: AsyncEngine, asked: Asked) -> None:
    await limited(engine, "tax", "police")
    floor = Floor()
    doing = Supervising(engine, floor, (), queue_of={"1001": "police", "1002": "default"}.get)
    assert (await doing.answer(asked)).said
    assert len(floor.did) == 1


async def test_whoever_listens_already_may_leave(engine: AsyncEngine) -> None:
    await limited(engine, "tax")
    floor = Floor()
    doing = Supervising(engine, floor, (), queue_of=lambda _: "police")
    await doing.answer(LeaveTalk("1001", "1003"))
    assert floor.did == [("leave", "1001", "1003")]


async def test_without_a_talk_it_is_that_which_is_told(engine: AsyncEngine) -> None:
    await limited(engine, "tax")
    floor = Floor()
    floor.refuse = "agent 1001 is not in a talk"
    doing = Supervising(engine, floor, (), queue_of=lambda _: None)
    with pytest.raises(Refused, match="not in a talk") as refused:
        await doing.answer(ListenToTalk("1001", "1003", by="li"))
    assert refused.value.code == ""


async def test_a_limit_holds_from_the_next_request_on(engine: AsyncEngine) -> None:
    await limited(engine)
    doing = Supervising(engine, Floor(), (), queue_of=lambda _: "police")
    asked = ListenToTalk("1001", "1003", by="li")
    await doing.answer(asked)
    await accounts.set_queues(engine, "li", ["tax"])
    with pytest.raises(Refused, match="not of a queue"):
        await doing.answer(asked)
    for by in ("", "token:li"):
        assert (await doing.answer(replace(asked, by=by))).said, "these have no limit"
    await accounts.set_queues(engine, "li", [])
    await doing.answer(asked)


async def test_a_phone_has_the_limit_of_its_account(engine: AsyncEngine) -> None:
    await limited(engine, "tax")
    queues = {"1001": "tax", "1002": "police"}
    # The settings allow the phone as well: its account's limit holds all the same.
    doing = Supervising(engine, Floor(), ("1003", "1004"), queue_of=queues.get)
    told = await doing.dialled("n-1.9", "PJSIP/1003-9", "1003", "1001")
    assert told == {"leg": "n-1.9", "mark": " 1001 1 li"}
    told = await doing.dialled("n-1.9", "PJSIP/1003-9", "1003", "1002")
    assert isinstance(told, str)
    assert "not of a queue" in told
    told = await doing.dialled("n-1.9", "PJSIP/1004-9", "1004", "1002")
    assert told == {"leg": "n-1.9", "mark": " 1002 1 "}


async def test_nothing_is_done_while_nobody_can_say_how_far_an_account_reaches(
    tmp_path: Path,
) -> None:
    nowhere = database.engine(f"sqlite+aiosqlite:///{tmp_path}/none/none.db")
    floor = Floor()
    doing = Supervising(nowhere, floor, (), queue_of=lambda _: "tax")
    with pytest.raises(Refused, match="cannot be read now") as refused:
        await doing.answer(TakeTalk("1001", "1003", "li"))
    assert refused.value.code == "limit_unread"
    assert floor.did == []
    await nowhere.dispose()


def test_the_queue_of_a_talk_is_the_citizens_or_the_callbacks() -> None:
    floor = Known()
    talks = [
        Talk(f"n-1.{agent}", f"PJSIP/{agent}-1", call, agent, held=False, there=True)
        for agent, call in (
            ("1001", CALL),
            ("1002", "hotline-c7.1"),
            ("1003", "hotline-c8.1"),
            ("1004", "n-1763731200.9"),
        )
    ]
    assert queue_of_talk(talks, floor, "1001") == "tax"
    assert queue_of_talk(talks, floor, "1002") == "police"
    assert queue_of_talk(talks, floor, "1003") == queue_of_talk(talks, floor, "1004") == ""
    assert queue_of_talk(talks, floor, "1005") is None


async def test_every_minute_is_in_the_audit_log(engine: AsyncEngine) -> None:
    floor, now = Floor(), [T]
    doing = Supervising(engine, floor, (), lambda: now[0], queue_of=no_queue)
    doing.add(SupervisionStarted(T, CALL, "1001", "1003", LISTEN, "li"))
    shown: SupervisorNow = {
        "agent": "1001",
        "supervisor": "1003",
        "by": "li",
        "call": CALL,
        "mode": "listen",
        "state": "on",
        "since": T,
    }
    floor.shown = [shown, {**shown, "supervisor": "1004", "state": "ringing"}]
    for seconds in (1, 59, 61, 62, 125):
        now[0] = T + seconds * SECOND
        doing.look()
    doing.add(SupervisionChanged(now[0], CALL, "1001", "1003", WHISPER, "li"))
    floor.shown, now[0] = [], T + 3 * MINUTE
    doing.add(SupervisionEnded(now[0], CALL, "1001", "1003", SupervisionEnd.LEFT, 3 * MINUTE, "li"))
    doing.add(TalkStopped(now[0], CALL, "1002", "li", "骂人 13900000001"))
    doing.add(SupervisionStarted(now[0], CALL, "1001", "1004", LISTEN))
    await doing.write()
    rows = await audit.read(engine)
    assert [(row["who"], row["action"], row["target"].strip()) for row in reversed(rows)] == [
        ("li", "SUPERVISE begin", f"1001 1003 listen {CALL}"),
        ("li", "SUPERVISE minute", f"1001 1003 listen 1 min {CALL}"),
        ("li", "SUPERVISE minute", f"1001 1003 listen 2 min {CALL}"),
        ("li", "SUPERVISE mode", f"1001 1003 whisper {CALL}"),
        ("li", "SUPERVISE end", f"1001 1003 180 s left {CALL}"),
        ("li", "SUPERVISE end talk", f"1002 {CALL}"),
        ("phone:1004", "SUPERVISE begin", f"1001 1004 listen {CALL}"),
    ]
    assert "13900000001" not in "".join(row["why"] for row in rows)


async def test_rows_wait_for_an_absent_database(engine: AsyncEngine, tmp_path: Path) -> None:
    nowhere = database.engine(f"sqlite+aiosqlite:///{tmp_path}/none/none.db")
    doing = Supervising(nowhere, Floor(), (), queue_of=no_queue)
    doing.add(SupervisionStarted(T, CALL, "1001", "1003", LISTEN, "li"))
    await doing.write()
    await nowhere.dispose()
    doing._engine = engine
    await doing.write()
    assert len(await audit.read(engine)) == 1


async def test_a_phone_is_refused_while_nobody_can_say_who_may(tmp_path: Path) -> None:
    nowhere = database.engine(f"sqlite+aiosqlite:///{tmp_path}/none/none.db")
    doing = Supervising(nowhere, Floor(), (), queue_of=no_queue)
    told = await doing.dialled("n-1.9", "PJSIP/1003-9", "1003", "1001")
    assert told == "who may listen cannot be read now"
    await nowhere.dispose()


async def test_beginnings_without_an_end(engine: AsyncEngine, tmp_path: Path) -> None:
    diary = Diary(engine, tmp_path)
    diary.start()
    open_one = SupervisionStarted(T + SECOND, CALL, "1001", "1004", LISTEN, "li")
    for fact in (
        SupervisionStarted(T, CALL, "1001", "1003", LISTEN, "li"),
        open_one,
        SupervisionChanged(T + SECOND + 1, CALL, "1001", "1004", WHISPER, "li"),
        SupervisionEnded(T + 2 * SECOND, CALL, "1001", "1003", SupervisionEnd.LEFT, SECOND, "li"),
    ):
        diary.write(fact)
    await diary.close()
    doing = Supervising(engine, Floor(), (), lambda: T + MINUTE, queue_of=no_queue)
    assert await doing.unended() == [replace(open_one, mode=WHISPER)]
