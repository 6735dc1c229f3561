"""Rows that wait in a file: none is lost by a crash, a full disk or a torn line, and no line spoils another."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diary.spool import Spool, lines_in


def number(line: dict[str, Any]) -> int:
    return int(line["n"])


def spool(path: Path, most: int = 10_000) -> Spool[int]:
    made = Spool(path / "x.jsonl", most, number)
    made.recover()
    return made


def rows(*numbers: int) -> list[dict[str, Any]]:
    return [{"n": n, "text": "沈阳\n"} for n in numbers]


def everything(one: Spool[int], page: int = 2) -> list[int]:
    found: list[int] = []
    while one.count:
        read = one.peek(page)
        found += read.rows
        one.drop(read)
    return found


def test_rows_are_read_from_the_front_and_the_file_goes(tmp_path: Path) -> None:
    one = spool(tmp_path)
    assert one.append(rows(1, 2, 3)) == 3
    assert one.path.stat().st_mode & 0o777 == 0o600
    first = one.peek(2)
    assert (first.rows, first.torn, first.gone) == ([1, 2], (), False)
    assert one.peek(2) == first, "until it is dropped"
    one.drop(first)
    one.append(rows(4))
    assert everything(one) == [3, 4]
    assert not one.path.exists()
    one.append(rows(5))
    assert everything(one) == [5]


def test_the_next_process_finds_what_was_left(tmp_path: Path) -> None:
    spool(tmp_path).append(rows(1, 2))
    assert lines_in(tmp_path / "x.jsonl") == 2
    assert lines_in(tmp_path / "y.jsonl") == 0
    again = spool(tmp_path)
    again.append(rows(3))
    assert again.count == 3
    assert everything(again) == [1, 2, 3]


@given(torn=st.binary(min_size=1, max_size=30))
def test_a_torn_line_spoils_none_that_follows(tmp_path_factory: Any, torn: bytes) -> None:
    folder = tmp_path_factory.mktemp("spool")
    one = spool(folder)
    one.append(rows(1))
    end = one.path.stat().st_size
    with one.path.open("ab") as file:
        file.write(b"\xff" + torn.replace(b"\n", b""))
    again = spool(folder)
    again.append(rows(2))
    page = again.peek(9)
    assert (page.rows, page.lines, page.torn) == ([1, 2], 3, (end,))


@pytest.mark.parametrize("line", [{}, {"n": "x"}, {"n": None}, [1], 7, None])
def test_a_line_that_says_something_else_is_a_torn_one(tmp_path: Path, line: object) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps(line) + "\n")
    page = spool(tmp_path).peek(9)
    assert (page.rows, page.torn) == ([], (0,))


def test_a_full_spool_takes_what_fits(tmp_path: Path) -> None:
    one = spool(tmp_path, most=100)
    assert one.append(rows(1, 2, 3, 4)) == 2
    assert one.append(rows(5)) == 0
    assert everything(one) == [1, 2]


def test_a_full_disk_adds_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = spool(tmp_path)
    one.append(rows(1))
    whole, room = os.write, 10

    def write(descriptor: int, data: Any) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "no space")
        done = whole(descriptor, data[:room])
        room -= done
        return done

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(OSError, match="no space"):
            one.append(rows(2, 3))
    assert one.count == 1
    one.append(rows(4))
    assert everything(one) == [1, 4]


def test_a_write_in_parts_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: whole(descriptor, data[:7]))
    one = spool(tmp_path)
    one.append(rows(1, 2))
    assert everything(one) == [1, 2]


def test_a_file_that_somebody_removed_is_told_once(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.append(rows(1, 2))
    one.path.unlink()
    page = one.peek(1)
    assert (page.rows, page.lines, page.gone) == ([], 2, True)
    one.drop(page)
    assert one.count == 0
    one.append(rows(3))
    assert everything(one) == [3]
