"""Sound → words: each side by itself, in blocks that end in a silence, so that memory does not grow with the call.

What nobody says costs next to nothing: voice activity is looked for first (Silero), which also keeps the model from
inventing a sentence for a silence. Nothing is written to the disk.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from facts.times import SECOND
from recorder.policy import FRAME, RATE, Stretch
from speech.transcript import TalkWords, Word

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from faster_whisper.vad import VadOptions

Sound: TypeAlias = npt.NDArray[np.int16]
"""Samples of one side at 8 kHz."""

MODEL_RATE: Final = 16_000
"""Samples a second that the model wants."""
BLOCK: Final = 30 * RATE
"""Samples of each side that are heard at once: what the model looks at in any case."""
PROMPT: Final = "以下是普通话的句子。"
"""Without it, the model writes traditional characters more often than simplified ones."""

MOST_REPEATED: Final = 2.4
"""A line that can be compressed so well is a loop of the model, and nothing that was said."""
LEAST_SURE: Final = -1.2
"""Mean log probability of a line; below it the model guesses."""
_REST: Final = 1.0
"""Seconds of speech behind a line that are not worth another look of the model."""
_EDGE: Final = RATE // 2
"""Speech that ends so close to the end of a block goes on in the next one."""


class StoppedError(Exception):
    """It was told to stop. What was heard so far is lost."""


@dataclass(frozen=True, slots=True)
class Transcriber:
    """A loaded model."""

    model: "WhisperModel"

    def hear(self, sound: Sound, *, last: bool) -> tuple[list[Word], int]:
        """The words in a block of one side, with their places in it, and how many samples of it are done with.

        What is left belongs to the next block, unless this is the `last` one.
        """
        from faster_whisper.vad import get_speech_timestamps

        samples = doubled(sound)
        spans = [
            (span["start"] // 2, span["end"] // 2)
            for span in get_speech_timestamps(samples, _voice())
        ]
        done = sound.size if last else cut(spans, sound.size)
        if not any(begin < done for begin, _ in spans):
            return [], done
        spoken = max(end for begin, end in spans if begin < done) / RATE
        return list(self._words(samples[: done * 2], spoken)), done

    def _words(self, samples: npt.NDArray[np.float32], spoken: float) -> Iterator[Word]:
        """`spoken`: the second at which speech ends."""
        from zhconv import convert

        heard, _ = self.model.transcribe(
            samples,
            language="zh",
            vad_filter=True,
            vad_parameters=_voice(),
            initial_prompt=PROMPT,
            condition_on_previous_text=False,
            word_timestamps=True,
            # One attempt: others, at chance, make what it costs and what it gives uncertain.
            temperature=0.0,
        )
        for line in heard:
            if line.compression_ratio <= MOST_REPEATED and line.avg_logprob >= LEAST_SURE:
                for word in line.words or ():
                    begin, end = round(word.start * SECOND), round(word.end * SECOND)
                    if text := convert(word.word, "zh-cn").strip():
                        yield Word(text, begin, max(end, begin + 1))
            # The rest, half a word, would be heard as a line of its own, which costs ten times as much as all before.
            if line.end >= spoken - _REST:
                return


def _voice() -> "VadOptions":
    from faster_whisper.vad import VadOptions

    return VadOptions(min_silence_duration_ms=500, speech_pad_ms=200, max_speech_duration_s=28.0)


def cut(spans: Sequence[tuple[int, int]], size: int) -> int:
    """How much of a block of `size` samples can be heard now: up to speech that may go on behind its end.

    `spans`: where somebody speaks, in order. Never 0: who speaks through the whole block is cut at its end.
    """
    if not spans or spans[-1][1] < size - _EDGE:
        return size
    begin = spans[-1][0]
    return begin if begin > 0 and len(spans) > 1 else size


def doubled(sound: Sound) -> npt.NDArray[np.float32]:
    """The same sound at 16 kHz, -1 to 1: a windowed sinc between the samples, which stay as they are."""
    given = sound.astype(np.float32) / 32_768
    made = np.empty(2 * given.size, dtype=np.float32)
    made[0::2] = given
    made[1::2] = np.convolve(np.pad(given, (_TAPS - 1, _TAPS)), _BETWEEN, "valid")
    return made


_TAPS: Final = 12
"""Samples on each side from which one between them is made."""


def _between() -> npt.NDArray[np.float32]:
    at = np.arange(-_TAPS + 0.5, _TAPS)
    weights = np.sinc(at) * np.hanning(2 * _TAPS + 2)[1:-1]
    made: npt.NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return made


_BETWEEN: Final = _between()


def hear(
    listener: Transcriber,
    pieces: Iterable[bytes],
    talks: Sequence[Stretch],
    stopped: Callable[[], bool] = lambda: False,
) -> list[TalkWords]:
    """The words of each talk. `pieces`: the raw stereo of the recording, in order; citizen left, agent right.

    `talks` with begin and end in microseconds of the recording. Of two at once, the later begins where the earlier
    ends. Raises `StoppedError` when `stopped()` says so, which is asked before each block.
    """
    # It logs the length of each block.
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)
    found: list[TalkWords] = []
    sound = _Frames(pieces)
    reached = 0
    for talk in sorted(talks, key=lambda one: (one.begin, one.end)):
        begin = max(reached, talk.begin * RATE // SECOND)
        end = talk.end * RATE // SECOND
        if end <= begin:
            continue
        sound.skip(begin - reached)
        sides = _HeardSide(listener, begin), _HeardSide(listener, begin)
        reached = begin
        while reached < end:
            if stopped():
                raise StoppedError
            block = sound.take(min(end - reached, BLOCK // 2))
            if not block.size:
                break
            reached += len(block)
            for number, side in enumerate(sides):
                side.add(block[:, number])
        for side in sides:
            if stopped():
                raise StoppedError
            side.finish()
        citizens, agents = (tuple(side.words) for side in sides)
        found.append(
            TalkWords(
                talk.agent, begin * SECOND // RATE, reached * SECOND // RATE, citizens, agents
            )
        )
        if reached < end:
            break  # the recording ends here
    return found


class _HeardSide:
    """One side of a talk: what waits to be heard, and what was."""

    def __init__(self, listener: Transcriber, at: int) -> None:
        self.words: list[Word] = []
        self._listener = listener
        self._at = at
        self._waiting: Sound = np.empty(0, dtype=np.int16)

    def add(self, sound: Sound) -> None:
        self._waiting = np.concatenate([self._waiting, sound])
        if self._waiting.size >= BLOCK:
            self._hear(last=False)

    def finish(self) -> None:
        if self._waiting.size:
            self._hear(last=True)

    def _hear(self, *, last: bool) -> None:
        words, done = self._listener.hear(self._waiting, last=last)
        since = self._at * SECOND // RATE
        # A block may begin a moment before the last word of the one before has ended.
        least = self.words[-1].end if self.words else 0
        for word in words:
            begin = max(least, since + word.begin)
            least = max(begin + 1, since + word.end)
            self.words.append(Word(word.text, begin, least))
        self._at += done
        self._waiting = self._waiting[done:].copy()


class _Frames:
    """Raw stereo in pieces of any length, taken by frames."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = b""

    def take(self, count: int) -> npt.NDArray[np.int16]:
        """So many frames as rows of (left, right); fewer only at the end."""
        wanted = count * FRAME
        parts = [self._left]
        size = len(self._left)
        while size < wanted and (piece := next(self._pieces, b"")):
            parts.append(piece)
            size += len(piece)
        whole = b"".join(parts)
        self._left = whole[wanted:]
        kept = whole[: min(wanted, len(whole) // FRAME * FRAME)]
        return np.frombuffer(kept, dtype="<i2").reshape(-1, 2)

    def skip(self, count: int) -> None:
        """Leave out so many frames."""
        while count > 0:
            gone = len(self.take(min(count, BLOCK)))
            if not gone:
                return
            count -= gone
