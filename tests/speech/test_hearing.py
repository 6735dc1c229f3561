"""Sound in pieces of any length becomes blocks of each side, with constant memory, and places of the recording."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts.times import SECOND
from recorder.policy import FRAME, RATE, Stretch
from speech import hearing
from speech.hearing import Sound, StoppedError
from speech.transcript import Word


class Counter:
    """Hears a word for every second, and says how much it was given at a time."""

    def __init__(self, keep: int = 0) -> None:
        self.blocks: list[Sound] = []
        self._keep = keep

    def hear(self, sound: Sound, *, last: bool) -> tuple[list[Word], int]:
        self.blocks.append(sound)
        done = sound.size if last else sound.size - self._keep
        return [
            Word(str(int(sound[at])), at * SECOND // RATE, at * SECOND // RATE + 1)
            for at in range(0, done, RATE)
        ], done


def stereo(seconds: int) -> bytes:
    """Each sample says in which second it is: left as it is, right with 1000 more."""
    left = np.repeat(np.arange(seconds, dtype="<i2"), RATE)
    return np.column_stack([left, left + 1000]).astype("<i2").tobytes()


def pieces(raw: bytes, size: int) -> list[bytes]:
    return [raw[at : at + size] for at in range(0, len(raw), size)]


@given(st.integers(1, 200_000), st.integers(0, 5), st.integers(1, 40), st.sampled_from([0, RATE]))
def test_every_second_of_a_talk_is_heard_once_and_has_its_place(
    size: int, begin: int, length: int, keep: int
) -> None:
    listener = Counter(keep)
    talk = Stretch("1001", begin * SECOND, (begin + length) * SECOND)
    raw = pieces(stereo(begin + length + 3), size)
    (found,) = hearing.hear(listener, raw, [talk])  # type: ignore[arg-type]
    seconds = range(begin, begin + length)
    assert [word.text for word in found.citizens] == [str(one) for one in seconds]
    assert [word.text for word in found.agents] == [str(one + 1000) for one in seconds]
    assert [word.begin for word in found.agents] == [one * SECOND for one in seconds]
    assert (found.begin, found.end) == (talk.begin, talk.end)


def test_a_long_call_is_heard_in_blocks_of_bounded_size() -> None:
    listener = Counter(RATE * 5)
    read = 0

    def lazily() -> "object":
        nonlocal read
        for piece in [bytes(FRAME * RATE)] * 600:
            read += 1
            # Never more than two blocks ahead of what was heard.
            assert read * RATE <= sum(one.size for one in listener.blocks) / 2 + 2 * hearing.BLOCK
            yield piece

    hearing.hear(listener, lazily(), [Stretch("1", 0, 600 * SECOND)])  # type: ignore[arg-type]
    assert max(one.size for one in listener.blocks) < 2 * hearing.BLOCK


def test_talks_that_overlap_are_heard_once_and_a_recording_may_end_early() -> None:
    talks = [Stretch("1001", 0, 6 * SECOND), Stretch("1002", 4 * SECOND, 90 * SECOND)]
    found = hearing.hear(Counter(), [stereo(10)], talks)  # type: ignore[arg-type]
    assert [(one.agent, one.begin, one.end) for one in found] == [
        ("1001", 0, 6 * SECOND),
        ("1002", 6 * SECOND, 10 * SECOND),
    ]


def test_it_stops_before_the_next_block() -> None:
    with pytest.raises(StoppedError):
        hearing.hear(Counter(), [stereo(3)], [Stretch("1", 0, SECOND)], lambda: True)  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 1000), max_size=12), st.integers(0, 20_000))
def test_a_block_is_cut_in_a_silence(lengths: list[int], rest: int) -> None:
    at, spans = 0, []
    for number, length in enumerate(lengths):
        if number % 2:
            spans.append((at, at + length))
        at += length
    size = at + rest
    done = hearing.cut(spans, size)
    assert 0 < done <= size or size == 0
    assert done == size or done in {begin for begin, _ in spans}


@pytest.mark.parametrize("tone", [200, 1000, 3000])
def test_twice_the_rate_is_the_same_sound(tone: int) -> None:
    at = np.arange(RATE) / RATE
    sound = (10_000 * np.sin(2 * np.pi * tone * at)).astype(np.int16)
    made = hearing.doubled(sound)
    wanted = 10_000 / 32_768 * np.sin(2 * np.pi * tone * np.arange(2 * RATE) / RATE / 2)
    assert made.dtype == np.float32
    assert np.abs(made - wanted)[100:-100].max() < 0.01
