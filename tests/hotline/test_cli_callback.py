"""`hotline callback`, with and without a controller that answers on the bus."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
from typer.testing import CliRunner

from acd.callbacks.entry import TaskError, Wanted
from base import clock
from base.bus import Bus
from facts.times import local
from hotline.cli.callback import _moment, decode, read_rows
from hotline.cli.main import app

SECOND = 1_000_000
HOUR = 3600 * SECOND
NOW = 1_763_719_200 * SECOND  # 2025-11-21 18:00 in China
NUMBER = "13800000001"
HEADER = "number,queue,after,before,agent,reason\n"


@pytest.fixture
def run(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOTLINE_NODE", "n" + str(abs(hash(request.node.name)))[:12])
    monkeypatch.setenv("HOTLINE_REDIS_URL", redis_url)
    monkeypatch.setenv("HOTLINE_OUTBOUND", "sip:127.0.0.1:5090")
    monkeypatch.setenv("HOTLINE_DATABASE_URL", url)
    if "controller" not in request.fixturenames:
        # Nobody will answer, so nobody need be waited for: each command would wait a second.
        monkeypatch.setattr(Bus.ask, "__kwdefaults__", {"wait": 0.05, "name": ""})

    def run(*args: str, status: int = 0) -> Any:
        done = CliRunner().invoke(app, ["callback", *args])
        assert done.exit_code == status, done.output
        return done

    return run


def listed(run: Any, *more: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(run("list", "--format", "json", *more).stdout)
    return rows


class Controller:
    """Answers commands as a controller does, from a thread: the command line has the loop of this one."""

    def __init__(self, url: str, node: str) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.refuses = ""
        self.silent = False
        self._commands = f"hotline:{node}:commands"
        self._node = node
        self._redis = redis.Redis.from_url(url)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def show(self) -> None:
        self._redis.set(f"hotline:{self._node}:live", orjson.dumps({"at": clock.now()}))

    def _answer(self) -> None:
        while not self._end.is_set():
            taken: Any = self._redis.blpop([self._commands], timeout=0.1)
            if taken is None or self.silent:
                continue
            request = orjson.loads(taken[1])
            self.asked.append((request["command"], request["args"]))
            reply: dict[str, Any] = {"ok": {"id": len(self.asked), "said": "it is so"}}
            if self.refuses and request["command"] != "status":
                reply = {"refused": self.refuses}
            self._redis.rpush(f"hotline:{self._node}:answer:{request['id']}", orjson.dumps(reply))

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        self._redis.close()


@pytest.fixture
def controller(run: Any, redis_url: str) -> Iterator[Controller]:
    made = Controller(redis_url, os.environ["HOTLINE_NODE"])
    yield made
    made.close()


# --- without a controller


def test_what_is_added_is_listed(run: Any) -> None:
    done = run(
        *("add", NUMBER, "--reason", "办件回访", "--matter", "沈-7", "--before", "+2h"),
        *("--attempts", "2", "--spacing", "0"),
    )
    assert done.stdout == "callback 1 added\n"
    assert "one that runs takes it up within some seconds" in done.stderr
    [row] = listed(run)
    assert row["number"] == "+8613800000001"
    assert (row["id"], row["queue"], row["state"]) == (1, "default", "due")
    assert (row["attempts"], row["yields"], row["attempts_left"]) == (0, 0, 2)
    assert (row["reason"], row["matter"]) == ("办件回访", "沈-7")
    assert row["before"].endswith("+08:00")


def test_numbers_are_masked_for_people(run: Any) -> None:
    run("add", NUMBER)
    for shown in (run("list"), run("show", "1")):
        assert "+86****0001" in shown.stdout
        assert NUMBER not in shown.output
    assert json.loads(run("show", "1", "--format", "json").stdout)["number"].endswith(NUMBER)


def test_a_bad_request_says_why_and_changes_nothing(run: Any) -> None:
    for args, says in (
        (["12"], "is not a telephone number"),
        ([NUMBER, "--queue", "tax"], "there is no queue 'tax': there is default"),
        ([NUMBER, "--agent", "1001"], "there is no agent '1001'"),
        ([NUMBER, "--before", "2020-01-01"], "the latest time is past"),
        ([NUMBER, "--after", "+2h", "--before", "+1h"], "must be after the earliest"),
        ([NUMBER, "--after", "soon"], "--after 'soon': write a time such as"),
        ([NUMBER, "--attempts", "0"], "0 attempts"),
    ):
        done = run("add", *args, status=1)
        assert says in done.stderr, args
        assert "takes effect" not in done.stderr
    assert listed(run) == []


def test_cancelling_and_its_history(run: Any) -> None:
    run("add", NUMBER)
    assert run("cancel", "1").stdout == "callback 1 cancelled\n"
    assert "callback 1 is over already: cancelled" in run("cancel", "1", status=1).stderr
    assert "there is no callback 7" in run("cancel", "7", status=1).stderr
    assert "there is no callback 7" in run("show", "7", status=1).stderr
    history = json.loads(run("show", "1", "--format", "json").stdout)["history"]
    assert [fact["kind"] for fact in history] == ["CallbackAdded", "CallbackCancelled"]
    assert "cancelled: by hand" in run("show", "1").stdout


def test_states_are_sorted_out(run: Any) -> None:
    for matter in ("7", "8", "9"):
        run("add", NUMBER, "--matter", matter)
    run("cancel", "2")
    assert [row["id"] for row in listed(run, "--state", "due")] == [1, 3]
    assert [row["id"] for row in listed(run, "--state", "cancelled,missed")] == [2]
    assert [row["id"] for row in listed(run, "--limit", "2")] == [2, 3]
    assert "--state lost: there is due" in run("list", "--state", "lost", status=2).stderr


def test_without_a_way_out_it_is_said(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTLINE_OUTBOUND", "")
    for args in (("add", NUMBER), ("list",), ("list", "--format", "json")):
        done = run(*args)
        assert "callbacks stay due until HOTLINE_OUTBOUND names one" in done.stderr
        assert "HOTLINE_OUTBOUND" not in done.stdout


# --- with a controller


def test_the_controller_is_told(run: Any, controller: Controller) -> None:
    done = run("add", NUMBER, "--reason", "回访")
    assert "no controller" not in done.stderr
    (status, _), (command, args) = controller.asked
    assert (status, command) == ("status", "callback.add")
    assert args == {"number": NUMBER, "reason": "回访", "attempts": 3, "spacing": 900 * SECOND}
    assert run("cancel", "7").stdout == "it is so\n"
    assert controller.asked[-1] == ("callback.cancel", {"id": 7})
    assert listed(run) == [], "the controller writes, nobody else"


def test_what_the_controller_refuses(run: Any, controller: Controller) -> None:
    controller.refuses = "there is no agent '1001'"
    assert "hotline: there is no agent '1001'" in run("add", NUMBER, status=1).stderr


def test_a_controller_that_hangs_is_not_gone_round(run: Any, controller: Controller) -> None:
    controller.silent = True
    controller.show()
    assert "runs, but does not answer" in run("add", NUMBER, status=1).stderr
    assert listed(run) == []


# --- files


def test_the_same_number_again_is_refused(run: Any, tmp_path: Path) -> None:
    run("add", NUMBER)
    done = run("add", f"+86 {NUMBER}", status=1)
    assert "callback 1 to +86****0001 is open already" in done.stderr
    file = tmp_path / "tasks.csv"
    rows = "13800000002,,,,,\n13800000001,,,,,\n110,,,,,\n13800000002,,,,,again\n"
    file.write_text(HEADER + rows, encoding="utf-8")
    for args, word in ((("--dry-run",), "good rows"), ((), "entered")):
        done = run("import", str(file), *args, status=1)
        assert done.stdout == f"{word}: 1, bad rows: 3\n"
        assert "line 3: callback 1 to +86****0001 is open already" in done.stderr
        assert "line 4: 110 is not called: emergency numbers are never dialled" in done.stderr
        assert "line 5: " in done.stderr


def test_a_file_with_bad_rows(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "tasks.csv"
    file.write_text(
        HEADER
        + "13800000001,,,+1d,,办件回访\n"
        + "abc,,,,,\n"
        + "\n"
        + "13800000003,nope,,,,\n"
        + '13800000004,,,,,"two\nlines"\n'
        + "13800000005,,,2020-01-01,,\n"
        + "13800000006,,,,,,,,\n"
        + ",,,,,no number\n"
        + "13800000001,,,+1d,,办件回访\n",
        encoding="utf-8",
    )
    done = run("import", str(file), "--dry-run", status=1)
    assert done.stdout == "good rows: 2, bad rows: 6\n"
    assert listed(run) == []
    done = run("import", str(file), status=1)
    assert done.stdout == "entered: 2, bad rows: 6\n"
    bad = [line.split(":")[0] for line in done.stderr.splitlines() if line.startswith("line ")]
    assert bad == ["line 3", "line 5", "line 8", "line 9", "line 10", "line 11"]
    assert "line 11: the same as line 2" in done.stderr
    assert [(row["number"], row["reason"]) for row in listed(run)] == [
        ("+8613800000001", "办件回访"),
        ("+8613800000004", "two lines"),
    ]


def test_a_good_file_goes_through_the_controller(
    run: Any, controller: Controller, tmp_path: Path
) -> None:
    file = tmp_path / "tasks.csv"
    file.write_bytes((HEADER + "13800000001,,,,,回访\n13800000002,,,,,\n").encode("gb18030"))
    assert run("import", str(file)).stdout == "entered: 2, bad rows: 0\n"
    asked = [args for command, args in controller.asked if command == "callback.add"]
    assert [one.get("reason") for one in asked] == ["回访", None]


def test_files_that_cannot_be_read(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "tasks.csv"
    assert "cannot be read: No such file" in run("import", str(file), status=1).stderr
    for data, says in (
        (b"", "the file is empty"),
        (b"phone\n1\n", "unknown column 'phone'"),
        (b"queue\ndefault\n", "with each column once"),
        (b"number,number\n1,2\n", "with each column once"),
        (b"\xff\xff\xff", "neither UTF-8 nor GB18030"),
    ):
        file.write_bytes(data)
        assert says in run("import", str(file), status=1).stderr
    file.write_text('number\n"13800000001\n')
    assert "line 2: this is not CSV" in run("import", str(file), status=1).stderr


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16"])
def test_encodings(encoding: str) -> None:
    assert decode("number,reason\n110,回访\n".encode(encoding)) == "number,reason\n110,回访\n"


def test_columns_in_any_order() -> None:
    [row] = read_rows("Reason, NUMBER\n回访, 110\n", NOW)
    assert row == (2, Wanted("110", reason="回访"))


# --- times


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", 0),
        ("+2h", NOW + 2 * HOUR),
        ("+1d2h30m", NOW + 26 * HOUR + HOUR // 2),
        ("19:30", NOW + HOUR + HOUR // 2),
        ("2025-11-21T19:00", NOW + HOUR),
        ("2025-11-21 19:00", NOW + HOUR),
        ("2025-11-21T11:00:00Z", NOW + HOUR),
        ("2025-11-22", NOW + 6 * HOUR),
    ],
)
def test_times_as_people_write_them(text: str, at: int) -> None:
    assert _moment(text, NOW, "--after") == at


def test_a_day_is_over_at_its_end() -> None:
    assert f"{local(_moment('2025-11-21', NOW, '--before', end=True))}".startswith(
        "2025-11-22 00:00"
    )


@pytest.mark.parametrize("text", ["soon", "25:00", "+", "+h", "2h", "2025-13-01", "+999999999m"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(TaskError, match="write a time such as"):
        _moment(text, NOW, "--before")
