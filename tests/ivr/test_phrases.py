"""The phrases against the standard's text, and the sound files against the phrases."""

import hashlib
import json
import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivr import phrase_file, phrases
from ivr.phrases import Phrase, PhraseError

ROOT = Path(__file__).parents[2]
PROMPTS = ROOT / "asterisk-conf" / "prompts"
MUSIC = ROOT / "asterisk-conf" / "music"
SEED = (ROOT / "tests" / "fixtures" / "seed-003-phrases.txt").read_text(encoding="utf-8")

BOOK = phrase_file.load(PROMPTS / "phrases.toml")
SAID = {name: words for phrase in BOOK.values() for name, words in phrase.recordings().items()}
RENDERED = {
    f"{language}/{name}": words
    for language in phrases.LANGUAGES
    for phrase in BOOK.values()
    for name, words in phrase.recordings(language).items()
}
MANIFEST: dict[str, dict[str, Any]] = json.loads(
    (PROMPTS / "manifest.json").read_text(encoding="utf-8")
)


def alaw(byte: int) -> int:
    """One A-law byte as a 16-bit sample (ITU-T G.711)."""
    byte ^= 0x55
    exponent, mantissa = byte >> 4 & 7, byte & 15
    size = (mantissa << 4) + 8 if exponent == 0 else ((mantissa << 4) + 0x108) << (exponent - 1)
    return size if byte & 0x80 else -size


ALAW = [alaw(byte) for byte in range(256)]


def decibels(sound: bytes) -> float:
    """Loudness relative to full scale."""
    mean_square = sum(ALAW[byte] ** 2 for byte in sound) / len(sound)
    return 10 * math.log10(mean_square / 32768**2)


# ---- The standard, letter by letter ----


def seed_phrases() -> list[str]:
    """Every sentence of the standard's chapter, without quotation marks and notes.

    Some lines lack the opening mark, so a sentence is what stands before a closing one.
    """
    spoken = SEED[: SEED.index("(六)服务禁语")]
    lines = [line.strip() for line in spoken.splitlines() if "”" in line]
    return [
        re.sub(r"^\(\d\)", "", line[: line.index("”")]).rsplit("“", 1)[-1].strip() for line in lines
    ]


def test_the_fixture_is_the_chapter_as_it_was_published() -> None:
    assert (
        hashlib.sha256(SEED.encode()).hexdigest()
        == "148106d62dc079913410e048180dc50e85a88f29c4ff3b5998ae30239041e135"
    )


def test_every_sentence_of_the_standard_is_a_phrase_letter_by_letter() -> None:
    ours = [phrase.fill() for phrase in BOOK.values() if phrase.source.startswith("003")]
    assert ours == seed_phrases()
    assert len(ours) == 37


def test_headings_and_notes_are_the_standards_own() -> None:
    for phrase in BOOK.values():
        assert phrase.when in SEED
        assert phrase.note in SEED


def test_forbidden_words_are_those_of_the_standard() -> None:
    words = phrase_file.load_forbidden(PROMPTS / "phrases.toml")
    assert list(words) == re.findall("“(.+?)”", SEED[SEED.index("(六)服务禁语") :])


def test_requirement_rows_run_from_23_to_43_without_a_gap() -> None:
    rows = [int(m[1]) for p in BOOK.values() if (m := re.search(r"^003.*R(\d+)$", p.source))]
    assert rows == sorted(rows)
    assert set(rows) == set(range(23, 44))


def test_every_phrase_says_whether_it_is_the_standards_or_ours() -> None:
    assert all(re.match(r"003 六\(|ours", phrase.source) for phrase in BOOK.values())


def test_the_12345_variants_change_nothing_but_the_number() -> None:
    for moment in ("greeting", "closing"):
        seed = BOOK[f"{moment}_8890"].text
        assert BOOK[f"{moment}_12345"].text == seed.replace("8890", "12345")


def test_what_the_requirements_want_played_is_spoken() -> None:
    spoken = {key for key, phrase in BOOK.items() if phrase.spoken and "003" in phrase.source[:3]}
    assert spoken == {
        "greeting_8890", "closing_8890", "no_response", "no_response_farewell", "harassment",
    }  # fmt: skip


# ---- A phrase with slots ----


def test_a_filled_slot_replaces_the_standards_mark_and_the_others_keep_theirs() -> None:
    said = BOOK["confirm_phone"].fill(caller="王女士")
    assert said == "王女士,和您确认一下,您的有效联系方式是……"


def test_a_value_without_a_slot_is_refused() -> None:
    with pytest.raises(ValueError, match="confirm_phone has no slot 'name'"):
        BOOK["confirm_phone"].fill(name="王")


def test_a_spoken_phrase_with_a_slot_is_said_in_pieces_round_it() -> None:
    assert BOOK["closing_8890"].recordings() == {
        "closing_8890_1": "感谢您的来电,有需要欢迎您随时拨打八八九零热线。我的工号是",
        "closing_8890_2": "请稍后对我的服务进行评价,祝您生活愉快,再见。",
    }
    assert BOOK["closing_8890"].sounds(agent_number=phrases.digits("10")) == [
        "hotline/closing_8890_1", "hotline/digit_1", "hotline/digit_0", "hotline/closing_8890_2",
    ]  # fmt: skip


def test_sounds_of_a_plain_phrase_is_its_one_file() -> None:
    assert BOOK["trouble"].sounds() == ["hotline/trouble"]


@pytest.mark.parametrize("key", ["ask_name", "queue_ahead", "closing_8890"])
def test_a_phrase_that_cannot_be_said_like_that_says_so(key: str) -> None:
    with pytest.raises(ValueError, match=key):
        BOOK[key].sounds()


def test_a_pronunciation_replaces_the_text_in_the_recording_only() -> None:
    phrase = Phrase(key="k", text="重庆", source="ours", spoken=True, say="虫庆")
    assert phrase.recordings() == {"k": "虫庆"}
    assert phrase.fill() == "重庆"


# ---- Numbers ----


def test_digits_are_said_one_by_one() -> None:
    assert phrases.digits("1001") == [
        "hotline/digit_1", "hotline/digit_0", "hotline/digit_0", "hotline/digit_1",
    ]  # fmt: skip


def test_one_is_said_yao_on_the_telephone() -> None:
    assert SAID["digit_1"] == "幺。"
    assert phrases.aloud("8890、12345、110") == "八八九零、幺二三四五、幺幺零"


@given(st.text(alphabet="0123456789", min_size=1))
def test_every_digit_has_a_sound(text: str) -> None:
    names = phrases.digits(text)
    assert len(names) == len(text)
    assert {name.removeprefix(phrases.SOUNDS) for name in names} <= SAID.keys()


@given(st.text().filter(lambda text: not re.fullmatch("[0-9]+", text)))
def test_anything_but_digits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="only the digits 0-9"):
        phrases.digits(text)


def test_nobody_ahead_means_you_are_next() -> None:
    assert phrases.position(0) == ["hotline/queue_next"]


@given(st.integers(min_value=1, max_value=phrases.MOST_AHEAD))
def test_the_number_ahead_is_said_exactly(ahead: int) -> None:
    sentence, wait = (name.removeprefix(phrases.SOUNDS) for name in phrases.position(ahead))
    assert SAID[sentence] == f"您前面还有{phrases.numeral(ahead)}位来电者。"
    assert SAID[wait] == "请稍候。"


@given(st.integers(min_value=phrases.MOST_AHEAD + 1))
def test_a_very_long_queue_is_said_to_be_longer_than_99(ahead: int) -> None:
    sentence, _ = (name.removeprefix(phrases.SOUNDS) for name in phrases.position(ahead))
    assert "超过九十九位" in SAID[sentence]


def test_a_negative_queue_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="-1 callers ahead"):
        phrases.position(-1)


def test_counts_before_a_measure_word() -> None:
    assert [phrases.numeral(n) for n in (1, 2, 10, 12, 20, 22, 99)] == [
        "一", "两", "十", "十二", "二十", "二十二", "九十九",
    ]  # fmt: skip
    assert len({phrases.numeral(n) for n in range(1, 100)}) == 99
    for n in (0, 100):
        with pytest.raises(ValueError, match="from 1 to 99"):
            phrases.numeral(n)


def test_an_agent_is_announced_by_number() -> None:
    assert phrases.agent_number("27") == [
        "hotline/agent_number_1", "hotline/digit_2", "hotline/digit_7", "hotline/agent_number_2",
    ]  # fmt: skip
    assert phrases.agent_number("27") == BOOK["agent_number"].sounds(
        agent_number=phrases.digits("27")
    )


# ---- Files that cannot be used ----


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no phrases"),
        ("[phrase.a", "not valid TOML"),
        ("[phrase]\na = 1", "phrase a: write it as a table"),
        ("[phrase.A]\ntext = 'x'\nsource = 'ours'", "phrase A: use only a-z"),
        ("[phrase.a]\nsource = 'ours'", "phrase a: add text"),
        ("[phrase.a]\ntext = 'x'", "phrase a: add source"),
        ("[phrase.a]\ntext = 'x'\nsource = 'ours'\nspokn = true", "remove or rename 'spokn'"),
        ("[phrase.a]\ntext = 'x'\nsource = 'ours'\nspoken = 1", "spoken must be of type bool"),
        ("[phrase.a]\ntext = '{b}'\nsource = 'ours'", r"phrase a: slots must name .*: b"),
        ("[phrase.a]\ntext = 'x'\nsource = 'ours'\nslots = {b = ''}", "slots must name .*: none"),
        ("[phrase.a]\ntext = 'x{'\nsource = 'ours'", "not part of a {slot}"),
        ("[phrase.a]\ntext = '{b}'\nsource = 'ours'\nslots = {b = 1}", "write each slot as"),
        ("[phrase.a]\ntext = 'x'\nsource = 'ours'\nsay = '{b}'", "say must have the same"),
        ("[phrase.a]\ntext = 'x'\nsource = 'ours'\nen = '{b}'", "en must have the same"),
        ("[phrase.a]\ntext = 'x'\nsource = 'ours'\ncounted = 9", "counted needs exactly one slot"),
    ],
)
def test_a_bad_file_is_refused_with_the_phrase_and_the_remedy(
    tmp_path: Path, text: str, complaint: str
) -> None:
    file = tmp_path / "phrases.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(PhraseError, match=complaint) as caught:
        phrase_file.load(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PhraseError, match="cannot be read"):
        phrase_file.load(tmp_path / "none.toml")


def test_missing_forbidden_words_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "phrases.toml"
    file.write_text("[forbidden]\nwords = []", encoding="utf-8")
    with pytest.raises(PhraseError, match="服务禁语"):
        phrase_file.load_forbidden(file)


# ---- The sound files ----


def test_every_spoken_phrase_was_rendered_and_nothing_else() -> None:
    assert list(MANIFEST) == list(RENDERED)
    for name, entry in MANIFEST.items():
        assert entry["file"] == f"{name}.alaw"
    for language in phrases.LANGUAGES:
        files = {f"{language}/{file.stem}" for file in (PROMPTS / language).iterdir()}
        assert files == {name for name in RENDERED if name.startswith(f"{language}/")}


def test_every_sound_says_its_phrase_as_it_is_now() -> None:
    outdated = [
        name
        for name, words in RENDERED.items()
        if MANIFEST[name]["text_sha256"] != hashlib.sha256(words.encode()).hexdigest()
    ]
    assert not outdated, "run asterisk-conf/render-prompts"
    assert all(MANIFEST[name]["text"] == words for name, words in RENDERED.items())


def test_every_sound_file_is_the_one_that_was_rendered() -> None:
    for name, entry in MANIFEST.items():
        sound = (PROMPTS / entry["file"]).read_bytes()
        assert hashlib.sha256(sound).hexdigest() == entry["file_sha256"], name
        assert len(sound) / 8000 == entry["seconds"], name


def test_no_sound_is_silent_or_overdriven() -> None:
    for name, entry in MANIFEST.items():
        sound = (PROMPTS / entry["file"]).read_bytes()
        assert -28 < decibels(sound) < -18, name
        assert max(abs(ALAW[byte]) for byte in sound) < 0.8 * 32768, name


def test_sounds_begin_and_end_without_a_long_silence() -> None:
    tenth = 800  # bytes
    for name, entry in MANIFEST.items():
        sound = (PROMPTS / entry["file"]).read_bytes()
        assert decibels(sound[:tenth]) > -65, name
        assert decibels(sound[-tenth:]) > -65, name


def test_sentences_are_said_at_a_human_pace() -> None:
    for name, entry in MANIFEST.items():
        syllables = len(re.findall("[一-鿿]", entry["text"]))
        if syllables >= 6:
            assert 2.5 <= syllables / entry["seconds"] <= 6.5, name


def test_english_is_said_at_a_human_pace() -> None:
    for name, entry in MANIFEST.items():
        words = len(entry["text"].split())
        if name.startswith("en/") and words >= 6:
            assert 1.5 <= words / entry["seconds"] <= 4.5, name


def test_sounds_of_one_voice_a_language_fit_in_the_repository() -> None:
    for language in phrases.LANGUAGES:
        of = [entry for name, entry in MANIFEST.items() if name.startswith(f"{language}/")]
        assert len({entry["voice"] for entry in of}) == 1
    assert sum(entry["seconds"] for entry in MANIFEST.values()) * 8000 < 9_000_000


# ---- English ----


def test_english_has_the_same_slots_and_numbers_as_words() -> None:
    assert (
        BOOK["greeting_8890"]
        .recordings("en")["greeting_8890"]
        .startswith("Hello, this is the eight eight nine zero government")
    )
    assert BOOK["queue_ahead"].recordings("en")["queue_ahead_21"] == "Callers ahead of you: 21."
    assert BOOK["agent_ready"].recordings("en") == {}
    assert Phrase(key="k", text="t", source="ours", en="x").recordings("en") == {}


def test_a_sound_in_another_language() -> None:
    assert phrases.in_language("hotline/trouble", "en") == "hotline-en/trouble"
    assert phrases.in_language("hotline/trouble", "zh") == "hotline/trouble"
    assert phrases.in_language("hotline/trouble", "mn") == "hotline/trouble"


def test_the_music_is_long_enough_soft_and_loops_without_a_click() -> None:
    pieces = sorted(MUSIC.iterdir())
    # Asterisk plays every file of the folder, so nothing else may lie there.
    assert pieces
    assert all(piece.suffix == ".alaw" for piece in pieces)
    sounds = [piece.read_bytes() for piece in pieces]
    assert 60 <= sum(map(len, sounds)) / 8000 <= 120
    for sound in sounds:
        assert -30 < decibels(sound) < -18
        samples = [ALAW[byte] for byte in sound]
        usual = max(abs(b - a) for a, b in pairwise(samples))
        assert abs(samples[0] - samples[-1]) <= usual / 2
