"""Guesses at passwords: which events are one, and how many there were within a minute."""

import pytest

from facts.times import SECOND
from telephony import guesses
from telephony.guesses import Guesses, guess

T = 1_763_731_200 * SECOND
EVENT = {
    "Event": "ChallengeResponseFailed",
    "Service": "PJSIP",
    "AccountID": "1001",
    "RemoteAddress": "IPV4/UDP/203.0.113.7/5060",
}


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({}, "203.0.113.7"),
        ({"Event": "InvalidAccountID"}, "203.0.113.7"),
        ({"Event": "InvalidPassword"}, "203.0.113.7"),
        ({"RemoteAddress": "IPV6/TCP/2001:db8::7/5060"}, "2001:db8::7"),
        ({"RemoteAddress": "IPV4/UDP/203.0.113.7\x1b[2J/1"}, "?"),
        ({"RemoteAddress": ""}, "?"),
        ({"Service": "AMI"}, ""),
        ({"Event": "SuccessfulAuth"}, ""),
        ({"Event": "ChallengeSent"}, ""),
    ],
)
def test_which_events_are_a_guess_and_from_where(changes: dict[str, str], address: str) -> None:
    assert guess(EVENT | changes) == address


def test_an_event_without_an_address_is_a_guess_all_the_same() -> None:
    assert guess({"Event": "InvalidPassword", "Service": "PJSIP"}) == "?"


def test_a_flood_is_counted_whole_and_forgotten_after_a_minute() -> None:
    seen = Guesses()
    for at in range(10_000):
        seen.add("203.0.113.7", T + at * SECOND // 1000)
    assert seen.count(T + 10 * SECOND) == 10_000
    assert seen.count(T + 65 * SECOND) == 4_000
    assert seen.count(T + 70 * SECOND) == 0


def test_a_log_names_each_address_once_while_it_goes_on() -> None:
    seen = Guesses()
    assert seen.add("a", T)
    assert not seen.add("a", T + 50 * SECOND)
    assert not seen.add("a", T + 100 * SECOND)
    assert seen.add("b", T + 100 * SECOND)
    assert seen.add("a", T + 161 * SECOND)


def test_neither_addresses_nor_time_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "_MOST_ADDRESSES", 10)
    seen = Guesses()
    for at in range(1000):
        seen.add(str(at), T + at * SECOND)
    assert len(seen._addresses) == 10
    assert len(seen._seconds) <= 121


def test_a_minute_is_over_to_the_moment() -> None:
    seen = Guesses()
    assert seen.add("a", T)
    assert not seen.add("a", T + 60 * SECOND)
    assert seen.add("a", T + 120 * SECOND + 1)
    assert seen.count(T + 120 * SECOND + 1) == 1


def test_the_address_that_has_been_quiet_for_longest_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guesses, "_MOST_ADDRESSES", 2)
    seen = Guesses()
    for address in ("a", "b", "a", "c"):
        seen.add(address, T)
    assert not seen.add("a", T + 1)
    assert not seen.add("c", T + 1)
    assert seen.add("b", T + 1)


def test_a_minute_is_forgotten_no_sooner_than_it_must() -> None:
    seen = Guesses()
    for at in range(200):
        seen.add("a", T + at * SECOND)
    assert seen.count(T + 199 * SECOND) == 60
