"""The log: JSON lines that never show a telephone number and never raise."""

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from base import log as hotline_log
from base.log import configure
from facts.masking import mask

Read = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Each test configures logging for itself; afterwards the process is as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    hotline_log._output.open(None, console=False)
    hotline_log._output.lost = 0
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture
def lines(tmp_path: Path) -> Read:
    file = tmp_path / "log" / "base.log"
    configure("info", file)
    return lambda: [json.loads(line) for line in file.read_bytes().splitlines()]


def test_an_event_is_one_json_line_with_time_level_and_name_first(lines: Read) -> None:
    structlog.get_logger("x").info("offer.made", call_id="hotline-1.2", agent="1001", place=3)

    (line,) = lines()
    assert list(line) == ["at", "level", "event", "call_id", "agent", "place"]
    assert line["at"].endswith("Z")
    assert len(line["at"]) == len("2026-11-21T21:01:15.038817Z")
    assert (line["level"], line["event"], line["place"]) == ("info", "offer.made", 3)


def test_levels_below_the_chosen_one_are_silent(tmp_path: Path) -> None:
    configure("warning", tmp_path / "x.log")
    log = structlog.get_logger("x")
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    written = (tmp_path / "x.log").read_text().splitlines()
    assert [json.loads(line)["event"] for line in written] == ["c", "d"]


def test_an_unknown_level_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'loud' is no log level: use one of debug, info"):
        configure("loud")


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("13812345678", "138****5678"),
        ("+8613812345678", "+86****5678"),
        ("12345", "****"),
        ("1", "****"),
        ("", "withheld"),
        ("withheld", "withheld"),
        ("9" * 500, "999****9999"),
    ],
)
def test_mask(number: str, masked: str) -> None:
    assert mask(number) == masked


@given(st.text())
def test_masking_twice_changes_nothing_and_hides_at_least_four(number: str) -> None:
    once = mask(number)
    assert mask(once) == once
    assert len(once) <= 11
    if number not in {"", "withheld"}:
        assert "****" in once


def test_telephone_numbers_names_and_keys_are_masked_even_when_forgotten(lines: Read) -> None:
    structlog.contextvars.bind_contextvars(caller="13812345678")
    structlog.get_logger("x").bind(number_dialled="02412345678").info(
        "ivr.key",
        name="张三",
        digits="13912345678",
        key="7",
        more={"caller": "13712345678", "a": 1},
    )
    (line,) = lines()
    assert line["caller"] == "138****5678"
    assert line["number_dialled"] == "024****5678"
    assert line["name"] == line["digits"] == line["key"] == "****"
    assert line["more"] == {"caller": "137****5678", "a": 1}


class _Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def test_odd_values_never_break_a_line(lines: Read) -> None:
    log = structlog.get_logger("x")
    cycle: dict[str, Any] = {}
    cycle["again"] = cycle
    odd = [None, 13812345678, b"\xff\x00", ["a"], {"b": {1: 2}}, _Hostile(), 2**80, "\udcff", cycle]
    for value in odd:
        log.info("odd", caller=value, key=value, other=value, deep={"caller": value, "x": value})
    found = lines()
    assert len(found) == len(odd)
    assert found[0]["caller"] == "withheld"
    assert found[1]["caller"] == "138****5678"


def test_line_breaks_in_a_value_stay_inside_the_line(lines: Read) -> None:
    structlog.get_logger("x").info("agi.bad_line", line='\r\n{"event": "forged"}\n\x1b[2J')
    (line,) = lines()
    assert line["event"] == "agi.bad_line"


_ROUTES: dict[str, str] = {}


def test_an_exception_is_part_of_its_line_and_its_numbers_are_hidden(lines: Read) -> None:
    log = structlog.get_logger("x")
    try:
        _ROUTES["no route for 13812345678"]
    except KeyError as error:
        log.exception("route.failed")
        log.error("task.failed", task="a", exc_info=error)
    assert len(lines()) == 2
    for line in lines():
        assert "Traceback" in line["exception"]
        assert "KeyError: 'no route for 138****5678'" in line["exception"]


def test_other_libraries_come_out_of_the_same_opening(lines: Read) -> None:
    logging.getLogger("uvicorn.error").info("Started on %s", "http://x")
    logging.getLogger("panoramisk.manager").info("Event: Newchannel CallerIDNum: 13812345678")
    logging.getLogger("panoramisk.manager").warning("lost %s", "13812345678")
    wrong = logging.LogRecord("z", 30, __file__, 1, "wrong %d arguments", ("x",), None)
    hotline_log._FromLogging().emit(wrong)
    with contextlib.suppress(ZeroDivisionError):
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            logging.getLogger("y").exception("call 13812345678")
            raise
    found = lines()
    assert [line["logger"] for line in found] == [
        "uvicorn.error",
        "panoramisk.manager",
        "z",
        "y",
    ]
    assert found[0]["event"] == "Started on http://x"
    assert found[1]["event"] == "lost 138****5678"
    assert "wrong %d arguments" in found[2]["event"]
    assert found[3]["event"] == "call 138****5678"
    assert "ZeroDivisionError" in found[3]["exception"]


def test_warnings_come_out_too(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure("info", tmp_path / "x.log")
        warnings.warn("old", stacklevel=1)
        logging.captureWarnings(False)
    line = json.loads((tmp_path / "x.log").read_bytes())
    assert line["logger"] == "py.warnings"
    assert "old" in line["event"]


def test_a_call_id_is_no_telephone_number(lines: Read) -> None:
    logging.getLogger("x").error("call hotline-1763731200.17 at 1763731200000000")
    assert lines()[0]["event"] == "call hotline-1763731200.17 at 1763731200000000"


class _FullDisk(io.BytesIO):
    full = False

    def write(self, line: Any) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(line)


def test_a_full_disk_costs_lines_but_never_raises_and_is_reported(lines: Read) -> None:
    stream = _FullDisk()
    hotline_log._output.sinks = [(hotline_log._json, stream)]
    log = structlog.get_logger("x")
    log.info("before")
    stream.full = True
    log.info("a")
    log.info("b")
    stream.full = False
    log.info("after")
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in found] == ["before", "log.lost", "after"]
    assert found[1]["lines"] == 2


def test_people_on_a_terminal_read_plain_lines_and_nothing_steers_it(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    configure("info", console=True)
    structlog.get_logger("x").info(
        "offer.made", agent="1001", caller="13812345678", odd="\x1b[2J\u202e", lone="\udcff"
    )
    out = capfdbinary.readouterr().out
    assert out.count(b"\n") == 1
    assert b"offer.made" in out
    assert b"138****5678" in out
    assert b"\x1b[2J" not in out
    assert "\u202e".encode() not in out


def test_file_and_terminal_together(
    lines: Read, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    configure("info", tmp_path / "log" / "base.log", console=True)
    structlog.get_logger("x").info("a.b")
    assert lines()[0]["event"] == "a.b"
    assert b"a.b" in capfdbinary.readouterr().out


def test_several_processes_share_one_file_without_mixing_lines(tmp_path: Path) -> None:
    file = tmp_path / "shared.log"
    code = textwrap.dedent(
        """
        import sys, pathlib, structlog
        from base.log import configure
        configure("info", pathlib.Path(sys.argv[1]))
        log = structlog.get_logger("x")
        for n in range(500):
            log.info("n", n=n, filling="x" * 300)
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    workers = [
        subprocess.Popen([sys.executable, "-c", code, str(file)], env=environment) for _ in range(3)
    ]
    assert [worker.wait(30) for worker in workers] == [0, 0, 0]
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 1500


def test_without_a_file_json_lines_go_to_standard_output(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    configure("info")
    structlog.get_logger("x").info("a.b", n=1)
    assert json.loads(capfdbinary.readouterr().out)["event"] == "a.b"
