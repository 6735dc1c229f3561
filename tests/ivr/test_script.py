"""What a caller hears, in which order."""

from pathlib import Path

import pytest

from facts.terms import Release
from ivr import phrase_file, phrases, script

PHRASES = phrase_file.load(Path(__file__).parents[2] / "asterisk-conf" / "prompts" / "phrases.toml")
RECORDED = {
    phrases.in_language(phrases.SOUNDS + name, language)
    for language in phrases.LANGUAGES
    for phrase in PHRASES.values()
    for name in phrase.recordings(language)
}
KEYS = "0123456789*#"


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


@pytest.mark.parametrize("key", KEYS)
def test_a_callback_is_offered_after_the_place(key: str) -> None:
    place = script.announcement(3, staffed=True)
    offered = script.announcement(3, staffed=True, callback_key=key)
    assert offered[:-1] == place
    assert offered[-1] in RECORDED
    assert script.announcement(0, staffed=False, callback_key=key)[-1] == offered[-1]


def test_each_key_has_an_offer_of_its_own() -> None:
    offers = {script.announcement(0, staffed=True, callback_key=key)[-1] for key in KEYS}
    assert len(offers) == len(KEYS)


def test_the_silent_caller_hears_the_words_of_the_standard() -> None:
    (phrase,), (farewell,) = script.SILENT_PHRASE, script.SILENT_FAREWELL
    assert PHRASES[phrase.removeprefix(phrases.SOUNDS)].source == "003 六(五)1, R40"
    assert PHRASES[farewell.removeprefix(phrases.SOUNDS)].source == "003 六(五)1, R40"


def test_every_sound_is_recorded_in_every_language() -> None:
    said = {sound for number in ("12345", "8890", "1") for sound in script.opening(number)}
    said |= {
        sound
        for ahead in range(120)
        for staffed in (True, False)
        for key in ("", *KEYS)
        for sound in script.announcement(ahead, staffed=staffed, callback_key=key)
    }
    said |= {sound for reason in Release for sound in script.farewell(reason)}
    said |= {*script.SILENT_PHRASE, *script.SILENT_FAREWELL}
    said |= {*script.CALLBACK_CONFIRMED, *script.CALLBACK_WITHHELD}
    for language in phrases.LANGUAGES:
        assert {phrases.in_language(sound, language) for sound in said} <= RECORDED
    # Agents speak Mandarin.
    assert {script.confirmation(action) for action in script.ACTIONS} <= RECORDED
