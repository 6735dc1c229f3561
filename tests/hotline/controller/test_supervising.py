"""Who may listen to talks, and the audit log of every minute."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from base import database, migrations
from base.bus import Refused
from diary.writer import Diary
from facts import SupervisionChanged, SupervisionEnded, SupervisionStarted, TalkStopped
from facts.live import SupervisorNow
from facts.requests import ChangeListening, EndTalk, LeaveTalk, ListenToTalk, TakeTalk
from facts.supervise import SupervisionEnd, SupervisionMode
from facts.times import MINUTE, SECOND
from hotline.controller.supervising import Supervising
from telephony.supervised import SupervisionRefused
from telephony.supervisors import SupervisionMark
from web.accounts import accounts, audit

T = 1_763_731_200 * SECOND
CALL = "n-1763731200.1"
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


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    made = database.engine(f"sqlite+aiosqlite:///{tmp_path}/hotline.db")
    await migrations.upgrade(made)
    yield made
    await made.dispose()


async def test_each_request_is_carried_out_or_refused(engine: AsyncEngine) -> None:
    floor = Floor()
    doing = Supervising(engine, floor, ())
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
        await accounts.add(engine, name, role, "correct horse battery", T, agent)
    floor = Floor()
    doing = Supervising(engine, floor, ("1004",))
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


async def test_every_minute_is_in_the_audit_log(engine: AsyncEngine) -> None:
    floor, now = Floor(), [T]
    doing = Supervising(engine, floor, (), lambda: now[0])
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
    doing = Supervising(nowhere, Floor(), ())
    doing.add(SupervisionStarted(T, CALL, "1001", "1003", LISTEN, "li"))
    await doing.write()
    await nowhere.dispose()
    doing._engine = engine
    await doing.write()
    assert len(await audit.read(engine)) == 1


async def test_a_phone_is_refused_while_nobody_can_say_who_may(tmp_path: Path) -> None:
    nowhere = database.engine(f"sqlite+aiosqlite:///{tmp_path}/none/none.db")
    doing = Supervising(nowhere, Floor(), ())
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
    doing = Supervising(engine, Floor(), (), lambda: T + MINUTE)
    assert await doing.unended() == [replace(open_one, mode=WHISPER)]
