"""Each kind of request, carried out or refused in a sentence that people can read."""

from typing import Any

import pytest

from alarms.rules import Alarm, UnknownAlarm
from base.bus import Refused
from facts import AgentRemoved
from facts.requests import (
    AcknowledgeAlarm,
    AddCallback,
    AgentWasAdded,
    AgentWasRemoved,
    CancelCallback,
    GetStatus,
    Reply,
    RulesChanged,
    SetOut,
    SetPaused,
    SetReady,
)
from facts.terms import Severity
from hotline.controller.requests import Requests
from tests.hotline.controller.conftest import Clock

LOW = Alarm("a1b2c3", "disk_low", "", Severity.CRITICAL, 1, 2, raised_at=3, acknowledged_by="王芳")


class People:
    """Knows 1001 and nobody else."""

    def __init__(self, done: list[Any]) -> None:
        self.done = done

    async def knows(self, number: str) -> bool:
        return number == "1001"

    async def set_intent(self, asked: SetReady | SetPaused | SetOut) -> str:
        self.done.append(asked)
        return "ok" if await self.knows(asked.number) else "unknown"


class Centre:
    """Everything that requests reach. `done`: what was asked of it, in order."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.ready, self.presence = False, ""
        self.requests = Requests(
            ready=lambda: self.ready,
            people=People(self.done),
            presence=lambda agent: self.presence,
            report=self.done.append,
            read_rules=self.read_rules,
            acknowledge=self.acknowledge,
            add_callback=self.keep,
            cancel_callback=self.keep,
        )

    async def read_rules(self) -> None:
        self.done.append("rules read")

    async def keep(self, asked: AddCallback | int) -> Reply:
        self.done.append(asked)
        return Reply("kept", 7)

    def acknowledge(self, name: str, by: str) -> Alarm:
        self.done.append((name, by))
        if name != LOW.id:
            raise UnknownAlarm(f"there is no open alarm {name!r}; open: none")
        return LOW


@pytest.fixture
def centre() -> Centre:
    return Centre()


async def test_status(centre: Centre) -> None:
    assert await centre.requests.answer(GetStatus()) == Reply(ready=False)
    centre.ready = True
    assert await centre.requests.answer(GetStatus()) == Reply(ready=True)


async def test_an_agent_was_added(centre: Centre) -> None:
    assert await centre.requests.answer(AgentWasAdded("1001")) == Reply()
    with pytest.raises(Refused, match=r"^there is no agent 1009$"):
        await centre.requests.answer(AgentWasAdded("1009"))


async def test_an_agent_was_removed_and_their_queues_with_them(
    centre: Centre, clock: Clock
) -> None:
    assert await centre.requests.answer(AgentWasRemoved("1001")) == Reply()
    assert centre.done == [AgentRemoved(clock.at, "1001"), "rules read"]


async def test_the_rules_have_changed(centre: Centre) -> None:
    assert await centre.requests.answer(RulesChanged()) == Reply()
    assert centre.done == ["rules read"]


async def test_an_alarm_is_acknowledged(centre: Centre) -> None:
    reply = await centre.requests.answer(AcknowledgeAlarm("a1b2c3", "王" * 100))
    assert reply == Reply("alarm a1b2c3 (disk_low) acknowledged by 王芳")
    assert centre.done == [("a1b2c3", "王" * 80)]


async def test_an_unknown_alarm_is_refused(centre: Centre) -> None:
    with pytest.raises(Refused, match=r"^there is no open alarm 'x'; open: none$"):
        await centre.requests.answer(AcknowledgeAlarm("x", "王芳"))


async def test_callbacks_go_to_those_who_keep_them(centre: Centre) -> None:
    asked = AddCallback("13800000001")
    assert await centre.requests.answer(asked) == Reply("kept", 7)
    assert await centre.requests.answer(CancelCallback(7)) == Reply("kept", 7)
    assert centre.done == [asked, 7]


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        (SetReady("1001"), "ready"),
        (SetPaused("1001", "用餐"), "pause"),
        (SetOut("1001"), "out"),
    ],
)
async def test_an_agents_wish_is_answered_with_what_they_do_now(
    centre: Centre, asked: SetReady | SetPaused | SetOut, word: str
) -> None:
    centre.presence = "talking"
    assert await centre.requests.answer(asked) == Reply("agent 1001: talking")
    centre.presence = ""
    assert await centre.requests.answer(asked) == Reply(f"agent 1001: {word}")
    assert centre.done == [asked, asked]


@pytest.mark.parametrize("kind", [SetReady, SetPaused, SetOut])
async def test_an_unknown_agent_has_no_wishes(
    centre: Centre, kind: type[SetReady | SetPaused | SetOut]
) -> None:
    sentence = r"^there is no agent 1009: `hotline agent list` shows those there are$"
    with pytest.raises(Refused, match=sentence):
        await centre.requests.answer(kind("1009"))
