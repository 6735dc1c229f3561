"""A supervisor who is limited to a queue: what they may do by the API and by `*8`, and when the limit changes."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from facts import PhoneReachable, SupervisionChanged, SupervisionEnded, SupervisionStarted
from facts.supervise import SupervisionEnd, SupervisionMode
from softphone.phones import AgentPhone, Leg, Phones
from tests.live.centre import NUMBER, PASSWORD, Centre, until_talk
from tests.live.test_supervision import until_has

GREETING = 10.0
TAX_NUMBER = "8890"
RULES = """
queue = { default = {}, tax = {} }
number.8890 = { queue = "tax" }
member = { default = { 1001 = 0 }, tax = { 1002 = 0 } }
"""
SUPERVISOR = "the password of li"


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    with Centre(numbers=f"{NUMBER},{TAX_NUMBER}", wrap_up_time=1) as centre:
        centre.add_agent("1001", "1002", "1003")
        centre.shorten_greeting()
        centre.run("queue", "import", "-", stdin=RULES)
        new = ("account", "add", "li", "--role", "supervisor", "--agent", "1003", "--queue", "tax")
        centre.run(*new, "--password-stdin", stdin=SUPERVISOR)
        yield centre


@pytest.fixture
async def li(centre: Centre) -> AsyncIterator[httpx.AsyncClient]:
    """The supervisor, signed in, who is limited to the queue tax."""
    await centre.cli("account", "set", "li", "--queue", "tax")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{centre.web_port}") as client:
        given = {"name": "li", "password": SUPERVISOR}
        signed_in = await client.post("/api/session", json=given)
        assert signed_in.json()["queues"] == ["tax"]
        client.headers["X-CSRF-Token"] = signed_in.json()["csrf"]
        yield client


async def asked(client: httpx.AsyncClient, path: str, **body: str) -> tuple[int, str]:
    """The status and the code of the answer."""
    answer = await client.post(f"/api/talks/{path}", json=body)
    return answer.status_code, answer.json().get("code", "")


async def talk(
    centre: Centre, phones: Phones, caller: str, agent: str, number: str
) -> tuple[Leg, AgentPhone, str]:
    """A citizen who talks to this agent, the agent's phone, and the call's id."""
    phone = await centre.agent(phones, agent, answer_after=0.2)
    leg = await phones.citizen(caller).dial(number)
    await until_talk(leg, phone.tone, GREETING)
    return leg, phone, await centre.call_id(caller)


async def supervisor(centre: Centre, phones: Phones) -> AgentPhone:
    """The supervisor's phone."""
    before = len(centre.facts(PhoneReachable, agent="1003"))
    phone = await phones.agent("1003", PASSWORD, answer_after=0.1)
    await centre.fact(PhoneReachable, agent="1003", count=before + 1)
    return phone


OTHER_QUEUE = (403, "not_your_queue")


async def test_only_talks_of_ones_own_queue(
    centre: Centre, phones: Phones, li: httpx.AsyncClient
) -> None:
    other, agent, call = await talk(centre, phones, "13900000701", "1001", NUMBER)
    leg, own, call_of_tax = await talk(centre, phones, "13900000702", "1002", TAX_NUMBER)
    boss = await supervisor(centre, phones)
    for path in ("listen", "mode", "take", "end"):
        assert await asked(li, f"1001/{path}") == OTHER_QUEUE, path
    dialled = await boss.dial("*81001")
    await dialled.until_hears_something()
    await dialled.until_ended(10)
    assert dialled.seconds_of(other.tone) == dialled.seconds_of(agent.tone) == 0
    # In the queue of theirs: by the API, then by the phone.
    assert await asked(li, "1002/listen") == (200, "")
    ear = await boss.until_rings()
    await until_has(centre, ear, leg.tone, own.tone)
    assert await asked(li, "1002/leave") == (200, "")
    await ear.until_ended()
    await centre.fact(SupervisionEnded, call=call_of_tax)
    ear = await boss.dial("*81002")
    await until_has(centre, ear, leg.tone, own.tone)
    await ear.hang_up()
    await centre.fact(SupervisionEnded, call=call_of_tax, count=2)
    assert await asked(li, "1002/end", reason="x") == (200, "")
    await leg.until_ended(5)
    assert centre.facts(SupervisionStarted, call=call) == []
    assert other.talking
    await other.hang_up()
    await agent.offers[-1].until_ended()


async def test_a_limit_that_changes_holds_at_once_but_ends_no_listening(
    centre: Centre, phones: Phones, li: httpx.AsyncClient
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000703", "1001", NUMBER)
    boss = await supervisor(centre, phones)
    assert await asked(li, "1001/listen") == OTHER_QUEUE
    await centre.cli("account", "set", "li", "--all-queues")
    ear = await boss.dial("*81001")
    await until_has(centre, ear, leg.tone, agent.tone)
    assert await asked(li, "1001/mode", mode="whisper") == (200, "")
    await centre.fact(SupervisionChanged, call=call, mode=SupervisionMode.WHISPER)
    await centre.cli("account", "set", "li", "--queue", "tax")
    assert await asked(li, "1001/mode", mode="step_in") == OTHER_QUEUE
    await until_has(centre, ear, leg.tone, agent.tone)
    assert await asked(li, "1001/leave") == (200, "")
    ended = await centre.fact(SupervisionEnded, call=call)
    assert (ended.why, ended.by) == (SupervisionEnd.LEFT, "li")
    await leg.hang_up()
    await agent.offers[-1].until_ended()
