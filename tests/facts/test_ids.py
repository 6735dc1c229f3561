"""The ids of calls and attempts: one grammar for all who make or read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts.ids import (
    LONGEST,
    attempt_id,
    callback_of,
    is_attempt,
    is_call_id,
    is_node,
    refused_id,
    second_of,
    try_of,
)


@given(st.from_regex(r"[a-z][a-z0-9]{0,15}", fullmatch=True), st.integers(1), st.integers(1))
def test_an_attempt_that_is_made_can_be_read(node: str, callback: int, tries: int) -> None:
    callback, tries = callback % 10**12, tries % 10**9
    call = attempt_id(node, callback, tries)
    assert is_node(node)
    assert is_call_id(call)
    assert is_attempt(call)
    assert (callback_of(call), try_of(call)) == (callback, tries)
    assert second_of(call) == 0
    assert len(call) <= LONGEST


def test_a_call_knows_its_second_and_is_no_attempt() -> None:
    call = "hotline-1763731200.17"
    assert is_call_id(call)
    assert not is_attempt(call)
    assert second_of(call) == 1763731200
    assert callback_of(call) == try_of(call) == 0


def test_a_refused_call_has_an_id_of_its_own() -> None:
    call = refused_id("hotline", 1763731200, "one@\udc80")
    assert is_call_id(call)
    assert not is_attempt(call)
    assert callback_of(call) == second_of(call) == 0
    assert call == refused_id("hotline", 1763731200, "one@\udc80")
    assert call != refused_id("hotline", 1763731200, "two")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hotline",
        "hotline-c7",
        "hotline-c7.1\n",
        "hotline-c.1",
        "1hotline-1.1",
        "hotline-1.1/../x",
        "hotline-١.1",
        f"{'a' * 17}-1.1",
    ],
)
def test_nothing_else_is_an_id(text: str) -> None:
    assert not is_call_id(text)
    assert not is_attempt(text)
    assert callback_of(text) == second_of(text) == 0


def test_of_one_refused_call_the_checksum_is_of_its_sip_call_id() -> None:
    assert refused_id("hotline", 1763731200, "one@x") == "hotline-r1763731200.3858901105"
    assert refused_id("hotline", 1, "a\udc80") == refused_id("hotline", 1, "a?")


@pytest.mark.parametrize(
    ("name", "good"),
    [("a", True), ("a" * 16, True), ("a" * 17, False), ("", False), ("A", False), ("a\n", False)],
)
def test_what_a_node_may_be_called(name: str, *, good: bool) -> None:
    assert is_node(name) is good
