"""`hotline queue …`, as an operator types it."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from base.background import spawn
from base.bus import Bus, Refused
from facts.requests import Reply, Request
from hotline.cli.main import app

Hotline = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A centre that is not running."""
    for name, value in {
        "HOME": str(tmp_path / "home"),
        "NUMBERS": "12345,96178",
        "RING_TIME": "9",
        "LOG_LEVEL": "warning",
    }.items():
        monkeypatch.setenv(f"HOTLINE_{name}", value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hotline(*arguments: str, stdin: str = "", status: int = 0) -> str:
    """What `hotline ARGUMENTS` says, on standard error when its status is not 0."""
    done = CliRunner().invoke(app, arguments, input=stdin)
    said = done.stderr if status else done.stdout
    assert done.exit_code == status, f"{arguments}: {done.exit_code}\n{done.output}"
    return said


def queue(*arguments: str, stdin: str = "", status: int = 0) -> str:
    return hotline("queue", *arguments, stdin=stdin, status=status)


def rows(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(queue(*arguments, "--format", "json"))
    return found


def value(name: str, setting: str) -> tuple[Any, bool]:
    """A queue's setting, and whether it was set."""
    (row,) = [row for row in rows("show", name) if row["setting"] == setting]
    return row["value"], row["set"]


@pytest.fixture
def agents(home: Path) -> None:
    for number in ("1001", "1002"):
        hotline(
            "agent",
            "add",
            number,
            "--name",
            "张三",
            "--password-stdin",
            stdin="softphone-secret-1\n",
        )


def test_a_new_centre(home: Path) -> None:
    (only,) = rows("list")
    assert (only["name"], only["numbers"], only["members"]) == ("default", ["12345", "96178"], [])
    assert value("default", "ring_time") == (9.0, False)  # the setting's
    assert "everybody" in queue("list")


def test_a_queue_is_added_changed_and_removed(home: Path) -> None:
    said = queue("set", "tax", "ring_time=12.5", "skills=en:3,税务", "call_back_lost=no")
    assert said == "queue tax added\n"
    assert value("tax", "ring_time") == (12.5, True)
    assert value("tax", "skills") == ({"en": 3, "税务": 1}, True)
    assert value("tax", "call_back_lost") == (False, True)
    assert queue("set", "tax", "ring_time=", "priority=2") == "queue tax changed\n"
    assert value("tax", "ring_time") == (9.0, False)
    assert value("tax", "priority") == (2, True)
    assert value("tax", "call_back_lost") == (False, True)
    assert "tax:" not in queue("show", "tax")
    queue("remove", "tax")
    assert [row["name"] for row in rows("list")] == ["default"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("set", "tax", "ring_tme=3"), 2, "did you mean ring_time?"),
        (("set", "tax", "ring_tme="), 2, "did you mean ring_time?"),
        (("set", "tax", "ring_time=soon"), 2, "'soon' is not a number of seconds"),
        (("set", "tax", "ring_time"), 2, "write setting=value"),
        (("set", "Tax"), 2, "no name"),
        (("set", "tax", "ring_time=0"), 1, "a phone must ring for at least one second"),
        (("set", "tax", "overflow_to=b", "overflow_after=3"), 1, "neither a queue nor"),
        (("set", "tax", "hours=office"), 1, "no opening hours office"),
        (("show", "tax"), 1, "there is no queue tax: there is default"),
        (("remove", "tax"), 1, "there is no queue tax"),
        (("remove", "default"), 1, "every centre has it"),
        (("number", "add", "12 345"), 2, "2 to 15 digits"),
        (("number", "add", "12346", "--queue", "b"), 1, "there is no queue b"),
        (("number", "remove", "12346"), 1, "was never added"),
        (("member", "add", "1009", "default"), 1, "1009 is not on the roster"),
        (("member", "add", "1001", "default", "--penalty", "-1"), 2, "0 to 1000"),
        (("member", "remove", "1001", "default"), 1, "no member"),
        (("skill", "set", "1001", "en", "10"), 2, "1 to 9"),
        (("skill", "remove", "1001", "en"), 1, "has no skill en"),
        (("flag", "add", "hello"), 2, "no telephone number"),
        (("flag", "add", "13812345678", "--priority", "10"), 2, "0 to 9"),
        (("flag", "remove", "13812345678"), 1, "has no flag"),
        (("block", "approve", "13812345678", "--by", "班长"), 1, "not on the list"),
        (("block", "remove", "13812345678"), 1, "not on the list"),
        (
            ("block", "add", "13812345678", "--reason", "x", "--by", "a", "--until", "soon"),
            2,
            "--until",
        ),
        (("block", "add", "13812345678", "--reason", "x", "--by", "a", "--days", "0"), 1, "passed"),
        (("block", "add", "13812345678", "--reason", " ", "--by", "a"), 1, "needs a reason"),
        (("hours", "set", "office", "mon-fri"), 2, "08:00-18:00"),
        (("hours", "set", "office", "someday=closed"), 2, "no part of the week"),
        (("hours", "set", "office", "2026-02-30=closed"), 2, "no part of the week"),
        (("hours", "remove", "office"), 1, "no hours office"),
        (("pause", "set", "12", "--name", "x"), 2, "one digit"),
        (("pause", "set", "6", "--name", "小休"), 1, "two keys"),
        (("pause", "remove", "9"), 1, "has no reason"),
        (("import", "nowhere.toml"), 2, "nowhere.toml cannot be read"),
        (("calendar", "nowhere.json"), 2, "nowhere.json cannot be read"),
        (("list", "--format", "xml"), 2, "text, json"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_changed(
    agents: None, arguments: tuple[str, ...], status: int, said: str
) -> None:
    before = queue("export")
    assert said in queue(*arguments, status=status)
    assert queue("export") == before
    assert rows("block", "list") == []


def test_numbers(home: Path) -> None:
    """R12: the old number and the new one lead to one queue."""
    queue("set", "tax")
    for number, label in (("12345", "手机端"), ("12366", "老号")):
        queue("number", "add", number, "--queue", "tax", "--label", label)
    assert [list(row.values()) for row in rows("number", "list")] == [
        ["12345", "tax", "zh", "手机端"],
        ["12366", "tax", "zh", "老号"],
        ["96178", "default", "zh", ""],
    ]
    assert "there is no queue tax" in queue("remove", "tax", status=1)
    assert "leads to queue default now" in queue("number", "remove", "12345")
    assert queue("number", "remove", "12366") == "number 12366 removed\n"
    assert [row["queue"] for row in rows("number", "list")] == ["default", "default"]


def test_members_and_skills(agents: None) -> None:
    queue("set", "tax")
    queue("member", "add", "1001", "tax", "--penalty", "3")
    queue("member", "add", "1002", "tax")
    queue("member", "add", "1001", "tax", "--penalty", "1")
    assert [list(row.values()) for row in rows("member", "list")] == [
        ["tax", "1001", 1],
        ["tax", "1002", 0],
    ]
    queue("skill", "set", "1001", "en", "3")
    queue("skill", "set", "1001", "yue")
    assert [list(row.values()) for row in rows("skill", "list")] == [
        ["1001", "en", 3],
        ["1001", "yue", 5],
    ]
    queue("skill", "remove", "1001", "en")
    queue("skill", "remove", "1001", "yue")
    queue("member", "remove", "1001", "tax")
    hotline("agent", "remove", "1002")
    assert rows("member", "list") == rows("skill", "list") == []


def test_the_last_member_leaves_the_queue_to_everybody(agents: None) -> None:
    queue("member", "add", "1001", "default")
    done = CliRunner().invoke(app, ["queue", "member", "remove", "1001", "default"])
    assert "everybody serves it now" in done.stderr


def test_flags_show_whole_numbers_in_json_only(home: Path) -> None:
    said = queue("flag", "add", "138 1234 5678", "--priority", "3", "--note", "听力不便")
    assert "13812345678" not in said + queue("flag", "list")
    assert rows("flag", "list") == [{"caller": "+8613812345678", "priority": 3, "note": "听力不便"}]
    queue("flag", "remove", "013812345678")
    assert rows("flag", "list") == []


def test_blocks_are_asked_for_approved_and_removed(home: Path) -> None:
    queue(
        "block", "add", "13812345678", "--reason", "骚扰", "--by", "1001", "--until", "2099-01-01"
    )
    (row,) = rows("block", "list")
    assert (row["state"], row["until"], row["calls"]) == ("to approve", "2099-01-01 00:00", 0)
    assert "somebody else" in queue("block", "approve", "13812345678", "--by", "1001", status=1)
    queue("block", "approve", "13812345678", "--by", "班长")
    (row,) = rows("block", "list")
    assert (row["state"], row["approved_by"]) == ("in force", "班长")
    assert "13812345678" not in queue("block", "list")
    queue("block", "remove", "13812345678")
    assert rows("block", "list") == []


def test_hours_pauses_and_the_calendar(home: Path) -> None:
    queue("hours", "set", "office", "mon-fri=08:00-18:00", "holidays=closed")
    queue("set", "default", "hours=office")
    assert "no opening hours office" in queue("hours", "remove", "office", status=1)
    assert rows("hours", "list") == [
        {"name": "office", "times": {"mon-fri": "08:00-18:00", "holidays": "closed"}}
    ]
    queue("set", "default", "hours=")
    queue("hours", "remove", "office")
    queue("pause", "set", "2", "--name", "用餐", "--minutes", "45")
    queue("pause", "remove", "5")
    assert [list(row.values()) for row in rows("pause", "list")][1:3] == [
        ["2", "用餐", 45],
        ["3", "培训", 0],
    ]
    (home / "2027.json").write_text('{"2027": {"holidays": ["2027-01-01"], "makeup_workdays": []}}')
    assert "2027" in queue("calendar", "2027.json")
    assert "not JSON" in queue("calendar", "-", stdin="{", status=1)


def test_what_is_exported_can_be_changed_and_imported(agents: None, home: Path) -> None:
    queue("set", "tax", "priority=2")
    queue("member", "add", "1001", "tax")
    queue("export", "rules.toml")
    file = home / "rules.toml"
    text = file.read_text()
    assert text == queue("export")
    file.write_text(text.replace("priority = 2", "priority = 4"))
    queue("import", "rules.toml")
    assert value("tax", "priority") == (4, True)
    assert queue("export") == file.read_text()

    queue("import", "-", stdin="[member]\n")
    assert rows("member", "list") == []
    assert value("tax", "priority") == (4, True)

    said = queue("import", "-", stdin="[queue.tax]\npriority = 99\nring = 3\n", status=1)
    assert "line 2: queue.tax.priority" in said
    assert "line 3: queue.tax.ring" in said
    file.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in queue("import", "rules.toml", status=2)
    assert value("tax", "priority") == (4, True)


async def test_a_running_controller_is_told(
    home: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTLINE_REDIS_URL", redis_url)
    heard: list[str] = []

    async def handle(asked: Request) -> Reply:
        heard.append(asked.name)
        if len(heard) > 2:
            raise Refused("not now")
        return Reply()

    bus = Bus(redis_url, "hotline")
    answering = spawn(bus.answer(handle), "answer")
    try:
        await asyncio.to_thread(queue, "set", "tax")
        await asyncio.to_thread(queue, "block", "add", "13812345678", "--reason", "x", "--by", "a")
        assert heard == ["rules.changed"] * 2
        await asyncio.to_thread(queue, "set", "tax", "priority=10", status=2)
        assert len(heard) == 2
        assert "not now" in await asyncio.to_thread(queue, "remove", "tax", status=1)
    finally:
        answering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await answering
        await bus.close()
