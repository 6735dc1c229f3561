"""Every sentence of the hotline, and the names of the sounds that say it.

The sentences live in ``asterisk-conf/prompts/phrases.toml``: those of the 8890 service standard
(003, chapter 六) letter by letter, and ours, marked as ours. The spoken ones are rendered by
``asterisk-conf/render-prompts``; a sound name such as ``hotline/greeting_12345`` is what Asterisk's
``Playback`` or ``STREAM FILE`` takes, without language and extension.

Pure: `ivr.phrase_file` reads the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

SOUNDS = "hotline/"
"""The folder, inside Asterisk's sounds, that holds the rendered phrases in Mandarin."""

MANDARIN = "zh"
LANGUAGES = (MANDARIN, "en")
"""The languages that callers can be spoken to (R9). `in_language` finds a sound's other languages."""

MOST_AHEAD = 99
"""The largest number of waiting callers that is said exactly; beyond it "more than 99"."""


class PhraseError(ValueError):
    """A phrase file cannot be used; the message names the phrase and what to change."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """One sentence."""

    key: str
    text: str
    """The sentence with its ``{slots}``, without quotation marks."""
    source: str
    """Where the words come from: ``003 六(一)1, R23`` or ``ours``."""
    spoken: bool = False
    """Played to callers or agents, so there are sound files; otherwise shown on the screen."""
    slots: Mapping[str, str] = field(default_factory=dict)
    """Slot name → the mark that stands there in the source, such as ``**``."""
    when: str = ""
    """The standard's heading: the moment at which the sentence is said."""
    note: str = ""
    """What the standard tells the agent beside the sentence."""
    counted: int = 0
    """Above 0: the slot is a number from 1 to this, and each number is a recording of its own."""
    say: str = ""
    """How to pronounce the text where it would be misread; empty: as it is written."""
    en: str = ""
    """The same sentence in English, with the same slots; empty: said in Mandarin only."""

    def fill(self, **values: str) -> str:
        """The sentence with these values; a slot that got none shows the source's own mark.

        So ``fill()`` is the sentence exactly as the standard prints it. Raises `ValueError` for a
        value that no slot takes.
        """
        if unknown := sorted(values.keys() - self.slots.keys()):
            raise ValueError(f"phrase {self.key} has no slot {unknown[0]!r}")
        return self.text.format_map({**self.slots, **values})

    def recordings(self, language: str = MANDARIN) -> dict[str, str]:
        """File name without extension → the words to say in it. Empty when not spoken in that language.

        A plain sentence is one file, ``KEY``. With a slot it is ``KEY_1``, ``KEY_2``, … : the
        numbers of a counted slot, or the pieces round the slots. Digits are written as they are
        spoken on the telephone (`aloud`).
        """
        if not self.spoken:
            return {}
        mandarin = language == MANDARIN
        words = (self.say or self.text) if mandarin else self.en
        if not words:
            return {}
        digit_by_digit = aloud if mandarin else _aloud_in_english
        if self.counted:
            (slot,) = self.slots
            return {
                f"{self.key}_{n}": words.format_map({slot: numeral(n) if mandarin else str(n)})
                for n in range(1, self.counted + 1)
            }
        # A piece must not begin with the comma that closed the slot before it.
        pieces = [piece.lstrip(",，。 ") for piece in _SLOT.split(words)[::2]]
        if len(pieces) == 1:
            return {self.key: digit_by_digit(words)}
        return {f"{self.key}_{i}": digit_by_digit(piece) for i, piece in enumerate(pieces, 1)}

    def sounds(self, **slots: Sequence[str]) -> list[str]:
        """The sound names that say the whole sentence; each slot takes the sounds of its value.

        Raises `ValueError` when the phrase is not spoken, is counted (see `position`), or a slot's
        sounds are missing.
        """
        if not self.spoken or self.counted:
            raise ValueError(f"phrase {self.key} has no sounds of this kind")
        if slots.keys() != self.slots.keys():
            raise ValueError(f"phrase {self.key} needs sounds for {sorted(self.slots)}")
        names = [SOUNDS + name for name in self.recordings()]
        said = names[:1]
        for slot, name in zip(_SLOT.findall(self.text), names[1:], strict=True):
            said += [*slots[slot], name]
        return said


def phrases_of(content: Mapping[str, object], where: str) -> Mapping[str, Phrase]:
    """The phrases of a phrase file, key → phrase, in the file's order. `where` names the file in errors.

    Raises `PhraseError` when there is none, or one is incomplete.
    """
    tables = content.get("phrase")
    if not isinstance(tables, dict) or not tables:
        raise PhraseError(f"{where}: no phrases; each is a table [phrase.KEY]")
    return MappingProxyType({key: _phrase(where, key, table) for key, table in tables.items()})


def forbidden_of(content: Mapping[str, object], where: str) -> tuple[str, ...]:
    """The words that an agent must never say (服务禁语, R44), from the same file, in its order.

    Raises `PhraseError` when they are missing.
    """
    forbidden = content.get("forbidden")
    words = forbidden.get("words") if isinstance(forbidden, dict) else None
    if not isinstance(words, list) or not words or not all(isinstance(w, str) and w for w in words):
        raise PhraseError(f'{where}: [forbidden] needs words = ["…", …], the 服务禁语')
    return tuple(words)


def in_language(sound: str, language: str) -> str:
    """The sound that says the same in this language: `hotline/trouble` → `hotline-en/trouble`.

    Unchanged for Mandarin, and for a language that is not one of `LANGUAGES`.
    """
    if language == MANDARIN or language not in LANGUAGES:
        return sound
    return f"{SOUNDS.rstrip('/')}-{language}/{sound.removeprefix(SOUNDS)}"


def notice_music(language: str) -> str:
    """The class of music that begins with the recording notice in this language (asterisk-conf/musiconhold.conf)."""
    return "notice" if in_language("", language) == "" else f"notice-{language}"


def digits(text: str) -> list[str]:
    """Sound names that say digits one by one; 1 is 幺, as on the telephone.

    Raises `ValueError` for an empty text or anything but 0-9.
    """
    if not _DIGITS.fullmatch(text):
        raise ValueError(f"only the digits 0-9 can be said one by one, not {text!r}")
    return [f"{SOUNDS}digit_{digit}" for digit in text]


def position(ahead: int) -> list[str]:
    """Sound names that say how many callers wait before this one.

    0 is "you are next"; beyond `MOST_AHEAD` it is "more than 99", never a made-up number. Raises
    `ValueError` when negative.
    """
    if ahead < 0:
        raise ValueError(f"nobody can have {ahead} callers ahead")
    if ahead == 0:
        return [SOUNDS + "queue_next"]
    if ahead > MOST_AHEAD:
        return [SOUNDS + "queue_many", SOUNDS + "please_wait"]
    return [f"{SOUNDS}queue_ahead_{ahead}", SOUNDS + "please_wait"]


def agent_number(number: str) -> list[str]:
    """Sound names of "工号 1001 为您服务" (R58: the number is said, never a name).

    Raises `ValueError` when the number is not made of digits 0-9.
    """
    return [SOUNDS + "agent_number_1", *digits(number), SOUNDS + "agent_number_2"]


def aloud(text: str) -> str:
    """The text with every digit written as it is said one by one: 8890 → 八八九零, 110 → 幺幺零."""
    return text.translate(_ALOUD)


def numeral(number: int) -> str:
    """A count from 1 to 99 as it is said before a measure word: 2 → 两, 12 → 十二, 20 → 二十.

    Raises `ValueError` outside 1-99.
    """
    if not 1 <= number <= 99:
        raise ValueError(f"a count from 1 to 99 can be said, not {number}")
    if number == 2:
        return "两"
    tens, ones = divmod(number, 10)
    return (_NUMERALS[tens] if tens > 1 else "") + ("十" if tens else "") + _NUMERALS[ones]


def _aloud_in_english(text: str) -> str:
    """8890 → eight eight nine zero."""
    return _DIGITS.sub(lambda run: " ".join(_ENGLISH[int(digit)] for digit in run[0]), text)


_SLOT = re.compile(r"\{(\w+)\}")
_DIGITS = re.compile(r"[0-9]+")
_KEY = re.compile(r"[a-z][a-z0-9_]*")
_ALOUD = str.maketrans("0123456789", "零幺二三四五六七八九")
_NUMERALS: tuple[str, ...] = ("", *"一二三四五六七八九")
_ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_FIELDS: Mapping[str, type] = {
    "text": str,
    "source": str,
    "spoken": bool,
    "slots": dict,
    "when": str,
    "note": str,
    "counted": int,
    "say": str,
    "en": str,
}


def _phrase(where: str, key: str, table: object) -> Phrase:
    def wrong(what: str) -> PhraseError:
        return PhraseError(f"{where}: phrase {key}: {what}")

    # The key becomes a file name and a word of a dialplan command.
    if not _KEY.fullmatch(key):
        raise wrong("use only a-z, 0-9 and _ in its key, beginning with a letter")
    if not isinstance(table, dict):
        raise wrong("write it as a table [phrase.KEY]")
    name: str
    for name, value in table.items():
        if name not in _FIELDS:
            raise wrong(f"remove or rename {name!r}; known are {', '.join(_FIELDS)}")
        if type(value) is not _FIELDS[name]:
            raise wrong(f"{name} must be of type {_FIELDS[name].__name__}")
    for name in ("text", "source"):
        if not table.get(name, "").strip():
            raise wrong(f'add {name} = "…"')
    slots: dict[str, str] = table.get("slots", {})
    named = _SLOT.findall(table["text"])
    if sorted(named) != sorted(slots):
        raise wrong(f"slots must name each {{slot}} of the text once: {', '.join(named) or 'none'}")
    if re.search(r"[{}]", _SLOT.sub("", table["text"])):
        raise wrong("a { or } in the text is not part of a {slot}")
    if not all(isinstance(mark, str) for mark in slots.values()):
        raise wrong('write each slot as name = "what stands there in the source"')
    for name in ("say", "en"):
        if _SLOT.findall(table.get(name, "")) not in ([], named):
            raise wrong(f"{name} must have the same {{slots}} as text, in the same order")
    counted: int = table.get("counted", 0)
    if counted and (len(slots) != 1 or not 1 <= counted <= 99):
        raise wrong("counted needs exactly one slot and a number from 1 to 99")
    return Phrase(key=key, **{**table, "slots": MappingProxyType(slots)})
