"""Where a person should listen: a listed phrase, a missing greeting, a hurried talk. Pure.

Phrases are compared by sound: syllables without tones. From `FORGIVING` syllables on, one of them may differ. Nothing
here judges: a hint says that something was heard, or was not, at a place.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from facts.times import SECOND
from speech.phrases import ListedPhrase, PhraseList
from speech.syllables import Syllable, spell
from speech.transcript import TalkWords

FORGIVING: Final = 6
"""A phrase of so many syllables is found with one of them misheard. A shorter one would be found everywhere."""
BREATH: Final = SECOND
"""A silence within a phrase makes it two sayings."""
PAUSE: Final = SECOND * 7 // 10
"""A silence that does not count as speaking."""
LEAST: Final = 20
"""Syllables without which a rate says nothing."""
_MINUTE: Final = 60 * SECOND


class WordHintKind(StrEnum):
    """What a person may want to listen to.

    forbidden    it sounds like one of the 服务禁语
    no_greeting  no greeting was heard from the agent
    fast         the agent spoke faster than the list wants
    slow         slower
    """

    FORBIDDEN = "forbidden"
    NO_GREETING = "no_greeting"
    FAST = "fast"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class WordHint:
    """A place to listen to, in microseconds from the recording's beginning. `phrase`: the listed one, or empty.

    `rate`: characters a minute, in hints of speed; else 0.
    """

    kind: WordHintKind
    agent: str
    begin: int
    end: int
    phrase: str = ""
    rate: float = 0.0

    def text(self, lang: str = "zh") -> str:
        """The sentence for people. `lang`: zh or en."""
        return _SAID[lang][self.kind].format(phrase=self.phrase, rate=self.rate)


_SAID: Final[Mapping[str, Mapping[WordHintKind, str]]] = {
    "zh": {
        WordHintKind.FORBIDDEN: "疑似服务禁语“{phrase}”",
        WordHintKind.NO_GREETING: "开头未听到问候",
        WordHintKind.FAST: "语速偏快，{rate:.0f} 字/分钟",
        WordHintKind.SLOW: "语速偏慢，{rate:.0f} 字/分钟",
    },
    "en": {
        WordHintKind.FORBIDDEN: "sounds like the 服务禁语 “{phrase}”",
        WordHintKind.NO_GREETING: "no greeting was heard at the beginning",
        WordHintKind.FAST: "fast: {rate:.0f} characters a minute",
        WordHintKind.SLOW: "slow: {rate:.0f} characters a minute",
    },
}


def of_talk(talk: TalkWords, book: PhraseList) -> list[WordHint]:
    """The hints of one talk, in time's order. Only what the agent says is looked at."""
    heard = spell(talk.agents)
    found = [
        WordHint(WordHintKind.FORBIDDEN, talk.agent, begin, end, phrase.text)
        for phrase in book.forbidden
        for begin, end in places(heard, phrase)
    ]
    if lacks_greeting(talk, heard, book):
        end = min(talk.end, talk.begin + book.within)
        found.append(WordHint(WordHintKind.NO_GREETING, talk.agent, talk.begin, end))
    speed = rate(heard)
    if speed is not None:
        if book.fastest and speed > book.fastest:
            found.append(WordHint(WordHintKind.FAST, talk.agent, talk.begin, talk.end, rate=speed))
        elif speed < book.slowest:
            found.append(WordHint(WordHintKind.SLOW, talk.agent, talk.begin, talk.end, rate=speed))
    return sorted(found, key=lambda hint: (hint.begin, hint.end, hint.kind, hint.phrase))


def places(heard: Sequence[Syllable], phrase: ListedPhrase) -> Iterator[tuple[int, int]]:
    """Where a phrase is heard, as (begin, end); no two of them overlap."""
    at = 0
    while at < len(heard):
        length = next((len(said) for said in phrase.said if _is_at(heard, at, said)), 0)
        found = heard[at : at + length]
        if length and "".join(one.text for one in found) not in phrase.unless:
            yield found[0].begin, found[-1].end
            at += length
        else:
            at += 1


def _is_at(heard: Sequence[Syllable], at: int, said: Sequence[tuple[str, str]]) -> bool:
    if at + len(said) > len(heard):
        return False
    left = len(said) >= FORGIVING
    for number, (sound, text) in enumerate(said):
        one = heard[at + number]
        if number and one.begin - heard[at + number - 1].end > BREATH:
            return False
        # 了 is read le or liao by what stands beside it: the same character is the same.
        if one.sound != sound and one.text != text:
            if not left:
                return False
            left = False
    return True


def lacks_greeting(talk: TalkWords, heard: Sequence[Syllable], book: PhraseList) -> bool:
    """Whether no greeting begins within the time that the list gives. A shorter talk says nothing."""
    if not book.within or not book.greetings or talk.end - talk.begin < book.within:
        return False
    until = talk.begin + book.within
    return not any(begin < until for phrase in book.greetings for begin, _ in places(heard, phrase))


def rate(heard: Sequence[Syllable]) -> float | None:
    """Characters a minute while speaking: pauses are left out. None for too few to tell."""
    if len(heard) < LEAST:
        return None
    speaking = 0
    since = heard[0].begin
    last = heard[0].end
    for one in heard[1:]:
        if one.begin - last >= PAUSE:
            speaking += last - since
            since = one.begin
        last = max(last, one.end)
    speaking += last - since
    return len(heard) * _MINUTE / speaking if speaking > 0 else None
