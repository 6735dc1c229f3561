"""The roster: agents come and go, and every refusal says why."""

import hashlib

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from agents import roster, tables
from agents.model import Agent, Intent
from agents.roster import RosterError
from agents.signin import md5_cred

AT = 1_763_731_200_000_000


async def test_an_agent_is_added_signed_out_and_listed_by_number(engine: AsyncEngine) -> None:
    await roster.add(engine, "1002", "李四", "softphone-secret-2", AT)
    await roster.add(engine, "1001", " 张三 ☎️ ", "softphone-secret-1", AT)
    assert await roster.list_all(engine) == [
        Agent("1001", "张三 ☎️", Intent.OUT, "", AT),
        Agent("1002", "李四", Intent.OUT, "", AT),
    ]


async def test_the_password_is_never_stored(engine: AsyncEngine) -> None:
    await roster.add(engine, "1001", "张三", "Secret 密码:12345", AT)
    async with engine.connect() as connection:
        row = (await connection.execute(select(tables.agent))).one()
    secret = "1001:hotline:Secret 密码:12345".encode()
    assert row.md5_cred == hashlib.md5(secret, usedforsecurity=False).hexdigest()
    assert "Secret" not in str(row)


def test_the_digest_is_that_of_rfc_2617() -> None:
    assert md5_cred("1001", "secret") == "9825b4c9c75afc481a419b95f9c54647"


async def test_a_new_password_replaces_the_old_one(engine: AsyncEngine) -> None:
    await roster.add(engine, "1001", "张三", "softphone-secret-1", AT)
    await roster.set_password(engine, "1001", "softphone-secret-2")
    async with engine.connect() as connection:
        assert await connection.scalar(select(tables.agent.c.md5_cred)) == md5_cred(
            "1001", "softphone-secret-2"
        )


async def test_intents_follow_each_other(engine: AsyncEngine) -> None:
    await roster.add(engine, "1001", "张三", "softphone-secret-1", AT)
    await roster.set_intent(engine, "1001", Intent.PAUSED, "午餐", AT + 1)
    assert await roster.list_all(engine) == [Agent("1001", "张三", Intent.PAUSED, "午餐", AT + 1)]
    await roster.set_intent(engine, "1001", Intent.READY, "午餐", AT + 2)
    assert await roster.list_all(engine) == [Agent("1001", "张三", Intent.READY, "", AT + 2)]
    await roster.set_intent(engine, "1001", Intent.PAUSED, "", AT + 3)
    assert (await roster.list_all(engine))[0].intent is Intent.PAUSED


async def test_a_removed_agent_is_gone_for_asterisk_too(engine: AsyncEngine) -> None:
    await roster.add(engine, "1001", "张三", "softphone-secret-1", AT)
    await roster.set_intent(engine, "1001", Intent.READY, "", AT)
    views = ["ps_endpoints", "ps_auths", "ps_aors", "queue_members"]
    async with engine.connect() as connection:
        for view in views:
            found = await connection.exec_driver_sql(f"SELECT * FROM {view}")  # noqa: S608
            assert len(found.all()) == 1, view
    await roster.remove(engine, "1001")
    assert await roster.list_all(engine) == []
    async with engine.connect() as connection:
        for view in views:
            found = await connection.exec_driver_sql(f"SELECT * FROM {view}")  # noqa: S608
            assert found.all() == [], view


@pytest.mark.parametrize(
    "number", ["", "1", "123456789", "10a1", "1001\n", " 1001", "１００１", "$(reboot)", "*11"]
)
async def test_only_two_to_eight_plain_digits_are_a_number(
    engine: AsyncEngine, number: str
) -> None:
    with pytest.raises(RosterError, match="write 2 to 8 digits"):
        await roster.add(engine, number, "张三", "softphone-secret-1", AT)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "name is empty"),
        ("  \t", "name is empty"),
        ("a\r\nEvent: x", r"control character U\+000D"),
        ("a\x00", r"control character U\+0000"),
        ("a\x1b[2J", r"control character U\+001B"),
        ("a\u202eb", r"control character U\+202E"),
        ("a\u2028b", r"control character U\+2028"),
        ("a\udcffb", r"control character U\+DCFF"),
        ("张" * 81, "has 81 characters; at most 80"),
    ],
)
async def test_names_that_cannot_be_used(engine: AsyncEngine, name: str, why: str) -> None:
    with pytest.raises(RosterError, match=why):
        await roster.add(engine, "1001", name, "softphone-secret-1", AT)
    assert await roster.list_all(engine) == []


@pytest.mark.parametrize("name", ["张" * 80, "👩‍💻 王", "O'Brien; DROP TABLE agent", "é"])
async def test_names_of_any_script_come_back_as_they_were(engine: AsyncEngine, name: str) -> None:
    await roster.add(engine, "1001", name, "softphone-secret-1", AT)
    assert (await roster.list_all(engine))[0].name == name


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", "too short: at least 12"),
        ("x" * 11, "too short: at least 12"),
        ("x" * 129, "too long: at most 128"),
        ("secret\n", "control character"),
        ("secret\udcff", "control character"),
    ],
)
async def test_passwords_that_cannot_be_used(engine: AsyncEngine, password: str, why: str) -> None:
    with pytest.raises(RosterError, match=why):
        await roster.add(engine, "1001", "张三", password, AT)
    await roster.add(engine, "1001", "张三", "softphone-secret-1", AT)
    with pytest.raises(RosterError, match=why) as caught:
        await roster.set_password(engine, "1001", password)
    assert password == "" or password not in str(caught.value)


async def test_short_passwords_are_known(engine: AsyncEngine) -> None:
    await roster.add(engine, "1001", "张三", roster.generate_password(), AT)
    await roster.add(engine, "1002", "李四", "softphone-secret-2", AT)
    await roster.add(engine, "1003", "王五", "softphone-secret-3", AT)
    assert await roster.short_passwords(engine) == []
    for number, length in (("1002", 6), ("1003", None)):  # of before
        change = update(tables.agent).where(tables.agent.c.number == number)
        async with engine.begin() as connection:
            await connection.execute(change.values(password_length=length))
    assert await roster.short_passwords(engine) == ["1002", "1003"]
    await roster.set_password(engine, "1002", "x" * roster.SHORTEST_PASSWORD)
    assert await roster.short_passwords(engine) == ["1003"]


def test_generated_passwords_are_long_and_all_different() -> None:
    made = {roster.generate_password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(one) >= 20 and one.isalnum() and one.isascii() for one in made)


async def test_a_number_that_is_taken(engine: AsyncEngine) -> None:
    await roster.add(engine, "1001", "张三", "softphone-secret-1", AT)
    with pytest.raises(RosterError, match="There is an agent 1001 already"):
        await roster.add(engine, "1001", "李四", "softphone-secret-2", AT)
    assert [agent.name for agent in await roster.list_all(engine)] == ["张三"]


async def test_an_agent_who_is_not_there(engine: AsyncEngine) -> None:
    with pytest.raises(RosterError, match="no agents yet"):
        await roster.remove(engine, "1001")
    await roster.add(engine, "1001", "张三", "softphone-secret-1", AT)
    with pytest.raises(RosterError, match=r"no agent .1007.\. Did you mean 1001\?"):
        await roster.remove(engine, "1007")
    with pytest.raises(RosterError, match=r"no agent .87654321.\. See: hotline agent list"):
        await roster.set_intent(engine, "87654321", Intent.READY, "", AT)
    with pytest.raises(RosterError, match="no agent"):
        await roster.set_password(engine, "2001", "softphone-secret-9")
    with pytest.raises(RosterError, match="reason contains the control character"):
        await roster.set_intent(engine, "1001", Intent.PAUSED, "a\nb", AT)
