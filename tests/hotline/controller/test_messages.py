"""Messages: stored, told, read; never told as shown when they were not."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.floor import Seat
from agents import messages as store
from agents.model import Intent
from base.bus import Refused
from facts.requests import ReadMessage, SendMessage
from facts.times import DAY, SECOND
from hotline.controller.messages import Messages
from telephony.texts import Display

T = 1_763_700_000 * SECOND


class Phones:
    """Phones of two agents; the third is signed out."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.now = T
        self.shown: list[tuple[str, str]] = []
        self.takes = {"1001": Display.ACCEPTED, "1002": Display.REFUSED}
        self.seats = {
            number: Seat(number, intent=Intent.READY, reachable=True) for number in self.takes
        }
        self.seats["1003"] = Seat("1003", reachable=True)
        self.messages = Messages(engine, lambda: self.seats, self, lambda: self.now, keep=30)

    async def show(self, agent: str, text: str) -> Display:
        self.shown.append((agent, text))
        return self.takes[agent]


@pytest.fixture
def phones(engine: AsyncEngine) -> Phones:
    return Phones(engine)


async def test_a_message_to_one_agent(phones: Phones, engine: AsyncEngine) -> None:
    reply = await phones.messages.send(SendMessage(" 请看\n公告 ", "chief", "1001"))
    assert reply.said == "on the agent's page; the phone took it"
    [one] = await store.of_agent(engine, "1001")
    assert (one.text, one.by, one.phone, one.read_at) == ("请看 公告", "chief", "accepted", 0)
    assert phones.messages.unread == {"1001": one.id} == {"1001": reply.id}
    refused = await phones.messages.send(SendMessage("x", "chief", "1002"))
    assert refused.said == "on the agent's page; not shown on the phone"
    out = await phones.messages.send(SendMessage("x", "chief", "1003"))
    assert out.said == "on the agent's page; no phone is signed in"


async def test_a_message_to_all(phones: Phones, engine: AsyncEngine) -> None:
    reply = await phones.messages.send(SendMessage("系统升级", "chief"))
    assert reply.said == "on the pages of 3 agents; 1 phones took it; not shown on 1 phones"
    found = {one.agent: one.phone for one in await store.sent_by(engine, "chief")}
    assert found == {"1001": "accepted", "1002": "refused", "1003": "no_phone"}
    assert sorted(phones.messages.unread) == ["1001", "1002", "1003"]


async def test_an_agent_reads_their_own(phones: Phones, engine: AsyncEngine) -> None:
    first = (await phones.messages.send(SendMessage("a", "chief", "1001"))).id
    second = (await phones.messages.send(SendMessage("b", "chief", "1001"))).id
    await phones.messages.read(ReadMessage("1001", second))
    assert phones.messages.unread == {"1001": first}
    await phones.messages.read(ReadMessage("1001", first))
    assert phones.messages.unread == {}
    with pytest.raises(Refused, match="1002 has no message"):
        await phones.messages.read(ReadMessage("1002", first))
    again = Phones(engine).messages
    await again.run()
    assert again.unread == {}


@pytest.mark.parametrize("text", ["", "  ", "x" * 201, "a\x00b", "a\u202eb"])
async def test_what_is_no_text_is_refused(phones: Phones, text: str) -> None:
    with pytest.raises(Refused, match="1 to 200"):
        await phones.messages.send(SendMessage(text, "chief", "1001"))
    with pytest.raises(Refused, match="no agent 1009"):
        await phones.messages.send(SendMessage("x", "chief", "1009"))


async def test_old_ones_go(
    phones: Phones, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "KEPT", 3)
    for number in range(5):
        await phones.messages.send(SendMessage(f"{number}", "chief", "1003"))
    assert [one.text for one in await store.of_agent(engine, "1003")] == ["4", "3", "2"]
    phones.now += 31 * DAY
    await phones.messages.send(SendMessage("new", "chief", "1001"))
    assert await store.of_agent(engine, "1003") == []


async def test_a_database_that_is_away_sends_nothing(phones: Phones, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.exec_driver_sql("DROP TABLE message")
    with pytest.raises(Refused, match="nothing is sent"):
        await phones.messages.send(SendMessage("x", "chief", "1001"))
    assert phones.shown == []
