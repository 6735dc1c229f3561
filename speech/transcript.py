"""What was said in a recording: words with their places, by talk and by side. Pure.

Places are microseconds from the beginning of the recording. Kept as compressed JSON, which is then sealed.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from facts.times import SECOND

LARGEST: Final = 32 << 20
"""Bytes that a transcript may have when it is unpacked: a day of talk has a fifth of it."""
PAUSE: Final = SECOND * 8 // 10
"""A silence of this length ends a line."""
_LINE: Final = 20 * SECOND


class TranscriptError(Exception):
    """A kept transcript cannot be read. The message says why."""


class Side(StrEnum):
    """Whose side of the recording."""

    CITIZEN = "citizen"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Word:
    """A character, or some that the model heard as one, with punctuation perhaps. `begin` < `end`."""

    text: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class TalkWords:
    """What was said while one agent talked with the citizen, in time's order on each side."""

    agent: str
    begin: int
    end: int
    citizens: tuple[Word, ...] = ()
    agents: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """What one side said without a pause."""

    side: Side
    begin: int
    end: int
    text: str


def lines(talk: TalkWords) -> list[Line]:
    """The talk to read, both sides in time's order."""
    found = [*_lines(Side.CITIZEN, talk.citizens), *_lines(Side.AGENT, talk.agents)]
    return sorted(found, key=lambda line: (line.begin, line.end, line.side))


def _lines(side: Side, words: Iterable[Word]) -> Iterator[Line]:
    run: list[Word] = []
    for word in words:
        if run and (word.begin - run[-1].end >= PAUSE or word.end - run[0].begin > _LINE):
            yield _line(side, run)
            run = []
        run.append(word)
    if run:
        yield _line(side, run)


def _line(side: Side, run: Sequence[Word]) -> Line:
    return Line(side, run[0].begin, run[-1].end, "".join(word.text for word in run).strip())


def pack(talks: Sequence[TalkWords]) -> bytes:
    """As it is kept."""
    kept = {
        "form": _FORM,
        "talks": [
            {
                "agent": talk.agent,
                "begin": talk.begin,
                "end": talk.end,
                "citizens": [[word.text, word.begin, word.end] for word in talk.citizens],
                "agents": [[word.text, word.begin, word.end] for word in talk.agents],
            }
            for talk in talks
        ],
    }
    return zlib.compress(json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode())


def unpack(data: bytes) -> list[TalkWords]:
    """What `pack` was given. Raises `TranscriptError`."""
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(data, LARGEST)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise TranscriptError("it is cut off, or larger than a transcript can be")
        kept = json.loads(text)
        if kept["form"] != _FORM:
            raise TranscriptError("it is in a form that this version does not know")
        return [
            TalkWords(
                one["agent"],
                one["begin"],
                one["end"],
                tuple(Word(*word) for word in one["citizens"]),
                tuple(Word(*word) for word in one["agents"]),
            )
            for one in kept["talks"]
        ]
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise TranscriptError(f"it is no transcript: {error}") from None


_FORM: Final = 1
