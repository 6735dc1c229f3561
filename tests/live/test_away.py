"""Parts that are away: what each promises meanwhile, on a real Asterisk and a real PostgreSQL."""

import asyncio
import json
import sqlite3
import time
from contextlib import closing

import baresip
import pytest

from agents import roster
from base import database
from base.bus import Bus
from facts import AgentNotResponding, OfferEnded
from facts.requests import AgentPasswordChanged
from facts.terms import OfferReason
from softphone.phones import AgentPhone, Phones
from telephony.realtime import VIEWS
from tests.live.centre import A_TALK, NUMBER, PASSWORD, Centre, until_talk
from tests.postgres import PostgresServer

GREETING = 18.0
AWAY = 20.0
"""Seconds that PostgreSQL is away."""
NEW_PASSWORD = "another-long-enough-password"


async def talks(phones: Phones, agent: AgentPhone, caller: str, within: float = GREETING) -> None:
    """A citizen calls and hears this agent."""
    leg = await phones.citizen(caller).dial(NUMBER)
    await until_talk(leg, agent.tone, within)
    await leg.hang_up()
    await agent.offers[-1].until_ended()


async def test_phones_ring_and_citizens_talk_while_postgresql_is_away(
    postgres_server: PostgresServer, postgresql_url: str
) -> None:
    with Centre(database_url=postgresql_url, ring_time=5) as centre:
        centre.add_agent("1001", "1002")
        centre.shorten_greeting()
        async with Phones(centre.sip) as phones:
            agent = await centre.agent(phones, "1001", answer_after=0.2)
            await centre.presence("1001", "ready")
            talking = await phones.citizen("13900600001").dial(NUMBER)
            await until_talk(talking, agent.tone, GREETING)

            await asyncio.to_thread(postgres_server.stop)
            stopped = time.monotonic()
            try:
                await talking.until_hears(agent.tone)
                await talking.hang_up()
                await agent.offers[-1].until_ended()
                for caller in ("13900600002", "13900600003"):
                    await talks(phones, agent, caller)
                # An agent whose phone registers again meanwhile, and a citizen who calls then.
                await agent.sign_in()
                await asyncio.sleep(max(0.0, stopped + AWAY - time.monotonic() - 3))
                leg = await phones.citizen("13900600004").dial(NUMBER)
                await until_talk(leg, agent.tone, GREETING)
                assert time.monotonic() - stopped > AWAY - 3
            finally:
                await asyncio.to_thread(postgres_server.start)
            await asyncio.sleep(1)
            await leg.until_hears(agent.tone)
            await leg.hang_up()
            await agent.offers[-1].until_ended()
            await centre.presence("1001", "ready", within=10)
            await talks(phones, agent, "13900600005")

            # Everything is in the diary in the end.
            deadline = time.monotonic() + 20
            while True:
                rows = json.loads(
                    await centre.cli("calls", "--format", "json", status=None) or "[]"
                )
                if [row["outcome"] for row in rows] == ["human"] * 5:
                    break
                assert time.monotonic() < deadline, [row["outcome"] for row in rows]
                await asyncio.sleep(0.5)


async def test_an_agent_who_changes_loses_and_gets_access_at_once(
    postgresql_url: str,
) -> None:
    with Centre(database_url=postgresql_url) as centre:
        centre.add_agent("1001", "1002")
        async with Phones(centre.sip) as phones:
            gone = await centre.agent(phones, "1001", answer_after=0.2)
            await centre.agent(phones, "1002", answer_after=0.2)

            await centre.cli("agent", "remove", "1001")
            with pytest.raises(baresip.RegistrationError):
                await gone.sign_in()

            engine = database.engine(postgresql_url)
            bus = Bus(f"unix://{centre.home}/run/redis.sock", "hotline")
            try:
                await roster.set_password(engine, "1002", NEW_PASSWORD)
                await bus.ask(AgentPasswordChanged("1002"))
            finally:
                await bus.close()
                await engine.dispose()
            with pytest.raises(baresip.RegistrationError):
                await phones.agent("1002", PASSWORD)
            again = await phones.agent("1002", NEW_PASSWORD, answer_after=0.2)
            await centre.press(again, "*11")

            # Removed and added again: the new password counts.
            await centre.cli(
                "agent", "add", "1001", "--name", "坐席", "--password-stdin", stdin=NEW_PASSWORD
            )
            with pytest.raises(baresip.RegistrationError):
                await phones.agent("1001", PASSWORD)
            await phones.agent("1001", NEW_PASSWORD)


async def test_offers_that_fail_by_themselves_bench_nobody_and_lose_nobody() -> None:
    with Centre(ring_time=5) as centre:
        centre.add_agent("1001", "1002")
        centre.shorten_greeting()
        async with Phones(centre.sip) as phones:
            agents = [await centre.agent(phones, n, answer_after=0.2) for n in ("1001", "1002")]
            for number in ("1001", "1002"):
                await centre.presence(number, "ready", within=10)
            # Asterisk finds no phone any more, registered as they are.
            with closing(sqlite3.connect(centre.home / "hotline.db", timeout=5)) as file:
                file.execute("DROP VIEW ps_endpoints")
            leg = await phones.citizen("13900700001").dial(NUMBER)
            await leg.until_answered()
            call = await centre.call_id("13900700001")
            failed = {"call": call, "reason": OfferReason.UNREACHABLE}
            await centre.fact(OfferEnded, GREETING, count=6, **failed)
            assert leg.talking
            assert not centre.facts(AgentNotResponding)
            with closing(sqlite3.connect(centre.home / "hotline.db", timeout=5)) as file:
                file.execute(VIEWS["ps_endpoints"])
            await leg.until_hears_one_of(agents, 40)
            await asyncio.sleep(A_TALK)
            await leg.hang_up()
            row = await centre.call("13900700001")
            assert row["outcome"] == "human"
            # 1, 2, 4 … seconds at each of two phones.
            assert len(centre.facts(OfferEnded, call=call)) <= 14
            assert not centre.facts(AgentNotResponding)


async def test_a_second_home_on_one_database_is_refused_and_a_killed_one_comes_back(
    postgresql_url: str,
) -> None:
    with Centre(database_url=postgresql_url) as centre:
        centre.add_agent("1001")
        centre.shorten_greeting()
        async with Phones(centre.sip) as phones:
            agent = await centre.agent(phones, "1001", answer_after=0.2)
            leg = await phones.citizen("13900800001").dial(NUMBER)
            await leg.until_hears(agent.tone, GREETING)
            second = Centre(database_url=postgresql_url, node="second")
            try:
                with pytest.raises(AssertionError, match=r"another Hotline \(node hotline\) works"):
                    await asyncio.to_thread(second.start)
            finally:
                second.discard()
            await leg.until_hears(agent.tone)  # the first one's call goes on
            # Beside it, reports are made as ever.
            assert json.loads(await centre.cli("calls", "--format", "json"))
            await asyncio.to_thread(centre.kill_controller)
            await asyncio.to_thread(
                centre.wait, lambda: bool(centre.processes(" serve")), 10, "the controller"
            )
            await leg.hang_up()
            await agent.offers[-1].until_ended()
            await centre.presence("1001", "ready", within=15)
            await talks(phones, agent, "13900800002")
        assert not [line for line in centre.log_lines() if "another Hotline" in line]
