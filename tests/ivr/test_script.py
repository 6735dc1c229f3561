"""What a caller hears, in which order."""

from pathlib import Path

import pytest

from acd.model import Release
from ivr import phrases, script

PHRASES = phrases.load(Path(__file__).parents[2] / "asterisk-conf" / "prompts" / "phrases.toml")
RECORDED = {phrases.SOUNDS + name for phrase in PHRASES.values() for name in phrase.recordings()}


@pytest.mark.parametrize(
    ("number", "greeting"),
    [
        ("12345", "hotline/greeting_12345"),
        ("02412345", "hotline/greeting_12345"),
        ("8890", "hotline/greeting_8890"),
        ("88901", "hotline/greeting_8890"),
        ("0248890", "hotline/greeting_8890"),
        ("96123", "hotline/no_response"),
        ("", "hotline/no_response"),
    ],
)
def test_the_greeting_names_the_hotline_that_was_dialled(number: str, greeting: str) -> None:
    assert script.opening(number) == [greeting, "hotline/recording_notice"]


def test_a_place_in_the_queue_is_said_as_it_is() -> None:
    assert script.announcement(0, staffed=True) == ["hotline/queue_next"]
    assert script.announcement(3, staffed=True) == ["hotline/queue_ahead_3", "hotline/please_wait"]
    assert script.announcement(100, staffed=True) == ["hotline/queue_many", "hotline/please_wait"]


def test_nobody_is_promised_an_agent_when_none_is_there() -> None:
    assert script.announcement(0, staffed=False) == ["hotline/agents_away"]
    assert script.announcement(3, staffed=False) == ["hotline/queue_ahead_3", "hotline/agents_away"]


def test_every_sound_is_recorded() -> None:
    said = {sound for number in ("12345", "8890", "1") for sound in script.opening(number)}
    said |= {
        sound
        for ahead in range(120)
        for staffed in (True, False)
        for sound in script.announcement(ahead, staffed=staffed)
    }
    said |= {sound for reason in Release for sound in script.farewell(reason)}
    said |= {script.wish(action) for action in script.WISHES}
    assert said <= RECORDED
