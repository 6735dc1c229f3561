"""The ear and the judgement of `tests.soak.step`, without any call. Asterisk is measured by the program itself."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from softphone.phones import RATE
from tests.soak import chirps, step
from tests.soak.chirps import GAP, LONG, PACKET, SWEEPS, Apart, Habit


def side(later: int, count: int = 14, without: tuple[int, ...] = ()) -> NDArray[np.int16]:
    """One side of a recording, with each chirp so many samples after its moment."""
    sound = np.zeros(round((count + 2) * GAP * RATE), dtype=np.int16)
    for number in range(1, count):
        if number not in without:
            at = round(number * GAP * RATE) + later
            sound[at : at + LONG] = chirps.chirp(number % len(SWEEPS))
    return sound


@pytest.mark.parametrize("samples", [-3000, -161, 0, 1, 800, 12_000])
def test_sides_are_apart_by_what_one_is_later(samples: int) -> None:
    found = chirps.apart(side(20_000 + samples), side(20_000))
    assert len(found) == 13
    assert {round(one.ms * RATE / 1000) for one in found} == {samples}


def test_lost_chirp_is_not_taken_for_its_neighbour() -> None:
    found = chirps.apart(side(0, without=(3, 8)), side(160, without=(4,)))
    assert len(found) == 10
    assert {round(one.ms) for one in found} == {-20}


def test_chirp_after_a_hole_in_both_sides_is_not_taken_for_an_old_one() -> None:
    """Nine seconds are in neither side, as after a standstill, and the first chirp after it is in one only."""
    hole = slice(round(10.5 * RATE), round(19.5 * RATE))
    citizen = np.delete(side(0), hole)
    other = np.delete(side(160, without=(8, 9)), hole)
    assert {round(one.ms) for one in chirps.apart(citizen, other)} == {-20}


def test_music_and_half_a_chirp_are_none() -> None:
    sound = np.zeros(20 * RATE, dtype=np.int16)
    sound[RATE : 9 * RATE] = (8000 * np.sin(np.arange(8 * RATE) / 3)).astype(np.int16)
    sound[12 * RATE : 12 * RATE + LONG // 4] = chirps.chirp(0)[: LONG // 4]
    assert list(chirps.chirps(sound)) == []
    assert list(chirps.chirps(sound[:100])) == []


def test_what_a_phone_sends_is_heard_as_it_was_sent() -> None:
    """A packet of each 20 ms, in A-law, the chirps at their moments, with a clock that is fast."""
    for skew in (0, 100):
        stream = chirps._Stream(("", 0), Habit(skew=skew), 100.003, 1)
        sent = [stream.next(95.0) for _ in range(50 * 12)]
        bodies = b"".join(packet[12:] for _, packet in filter(None, sent))
        assert len(bodies) == 50 * 12 * PACKET
        heard = list(chirps.chirps(chirps.ALAW[np.frombuffer(bodies, dtype=np.uint8)]))
        moments = [100.003 + at / (1 + skew / 1e6) for _, at in heard]
        assert [kind for kind, _ in heard] == [3, 4, 5, 0]
        assert moments == pytest.approx([102.5, 105.0, 107.5, 110.0], abs=1 / RATE)


def sent_by(habit: Habit, seconds: int) -> int:
    stream = chirps._Stream(("", 0), habit, 0.0, 1)
    return sum(stream.next(0.0) is not None for _ in range(50 * seconds))


def test_habits() -> None:
    assert sent_by(Habit(), 300) == 15_000
    assert sent_by(Habit(loss=0.1), 300) == pytest.approx(13_500, abs=150)
    assert sent_by(Habit(burst=1.0), 300) == pytest.approx(14_200, abs=400)
    assert sent_by(Habit(muted=True), 300) == 9_000
    assert sent_by(Habit(pauses=True), 300) == pytest.approx(300 / GAP * 6, abs=130)
    stream = chirps._Stream(("", 0), Habit(), 0.0, 1)
    stream.catch_up(60.0)
    assert stream.due() == pytest.approx(59.0)


def test_verdict() -> None:
    found = [Apart(0, 1.0, 0.0), Apart(1, 3.5, -15.0), Apart(2, 6.0, -55.0), Apart(3, 8.5, -55.0)]
    assert step.judge(found) == step.Verdict(4, -35.0, -55.0, 0.5, 2)
    assert step.unlike(found, found) == 0
    later = [Apart(one.kind, one.at + 0.2, one.ms) for one in found]
    assert step.unlike(found, [*later[:3], Apart(3, 8.5, -35.0)]) == 0.25
    assert step.unlike(found, []) == 1


def test_both_ways_are_read_alike(tmp_path: Path) -> None:
    code = np.arange(256, dtype=np.uint8)
    sound = chirps.ALAW[code]
    np.stack([sound, -sound], axis=1).astype("<i2").tofile(tmp_path / "9001.raw")
    code.tofile(tmp_path / "9001-r.alaw")
    code[::-1].tofile(tmp_path / "9001-t.alaw")
    citizen, other = step.sides(tmp_path, "9001", step.RAW)
    assert (citizen == sound).all()
    assert (other == -sound).all()
    citizen, other = step.sides(tmp_path, "9001", step.ALAWS)
    assert (citizen == sound).all()
    assert (other == sound[::-1]).all()
    assert sound.min() == -32256
    assert sound.max() == 32256
