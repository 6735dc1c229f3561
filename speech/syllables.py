"""Words → syllables of Mandarin without tones: what a model mishears is mostly the tone, or which character. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from speech.transcript import Word

_HAN: Final = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff]+|[a-z]")
_DIGITS: Final = str.maketrans("0123456789", "零一二三四五六七八九")


@dataclass(frozen=True, slots=True)
class Syllable:
    """`sound` in pinyin without its tone; `text`: the character that was heard; places as in `transcript`."""

    sound: str
    text: str
    begin: int
    end: int


def sounds(text: str) -> list[tuple[str, str]]:
    """Each character that is spoken, with its sound. Digits are read one by one; punctuation is left out."""
    # Its tables take a fifth of a second to load: only who looks for phrases pays for them.
    from pypinyin import Style, lazy_pinyin

    found: list[tuple[str, str]] = []
    for run in _HAN.findall(text.lower().translate(_DIGITS)):
        # A run is read as a whole, since 行 is `xing` in 不行 and `hang` in 银行.
        read = lazy_pinyin(run, style=Style.NORMAL) if len(run) > 1 or run > "z" else [run]
        found += zip(read, run, strict=True)
    return found


def spell(words: Iterable[Word]) -> list[Syllable]:
    """The syllables of one side, in time's order. A word's time is shared out evenly among its characters."""
    known = list(words)
    spoken = [_HAN.findall(word.text.lower().translate(_DIGITS)) for word in known]
    counts = [sum(map(len, runs)) for runs in spoken]
    read = iter(sounds("".join(word.text for word in known)))
    found = []
    for word, count in zip(known, counts, strict=True):
        length = word.end - word.begin
        for number in range(count):
            sound, text = next(read)
            begin = word.begin + length * number // count
            found.append(Syllable(sound, text, begin, word.begin + length * (number + 1) // count))
    return found
