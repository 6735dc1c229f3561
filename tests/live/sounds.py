"""Prompts, music and recordings as samples, to be compared with what simulated telephones heard."""

import wave
from pathlib import Path
from typing import BinaryIO

import numpy as np

from base.settings import Settings
from recorder import press, tape
from recorder.forms import RecordingForm
from recorder.vault import reading
from softphone.phones import RATE, Leg, Sound, likeness, seconds_of

_ASTERISK_CONF = Path(__file__).parents[2] / "asterisk-conf"


def prompt(key: str, language: str = "zh") -> Sound:
    """A spoken phrase, such as `greeting_12345`."""
    return _alaw(prompt_file(key, language).read_bytes())


def prompt_file(key: str, language: str = "zh") -> Path:
    """Where its A-law sound is."""
    return _ASTERISK_CONF / "prompts" / language / f"{key}.alaw"


def music() -> list[Sound]:
    """Every piece of music on hold."""
    return [_alaw(file.read_bytes()) for file in sorted((_ASTERISK_CONF / "music").glob("*.alaw"))]


def spoken(key: str, heard: Sound) -> float:
    """How much of a prompt was heard, 0 to 1, piece by piece: a lost packet in it costs only its piece."""
    whole = prompt(key)
    step = RATE // 2 if whole.size > 3 * RATE else RATE // 4
    pieces = [whole[at : at + step] for at in range(0, whole.size - step + 1, step)]
    return sum(likeness(heard, piece) > 0.9 for piece in pieces) / len(pieces)


def assert_whole(seconds: float, leg: Leg) -> None:
    """A recording has all that this telephone sent, and lasts no longer than it was on the line.

    A telephone whose process stands still for a moment sends nothing, so there is nothing to record.
    """
    assert leg.answered_at is not None
    assert leg.ended_at is not None
    assert leg.sent * 0.95 - 0.7 < seconds < leg.ended_at - leg.answered_at + 0.5, leg.sent


def assert_hums(side: Sound, leg: Leg) -> None:
    """This side of a recording is the telephone's tone for as long as it was sent: each gap in it costs its edges."""
    assert leg.answered_at is not None
    assert leg.ended_at is not None
    hummed = seconds_of(side, leg.tone)
    assert leg.sent * 0.9 - 0.7 < hummed < leg.ended_at - leg.answered_at + 0.7, leg.sent


def recording(home: Path, call: str) -> tuple[Sound, Sound]:
    """Both sides of a call's recording, as it lies in a centre's home."""
    settings = Settings(home=home)
    place = reading.find(settings, call)
    assert place is not None
    with reading.open_file(settings, call, place) as sound:
        form, header = tape.header_of(sound, place)
        if form is RecordingForm.WAV:
            return stereo(sound)
        raw = b"".join(press.decode(sound, form, header.duration))
    samples = np.frombuffer(raw, dtype=np.int16)
    return samples[0::2], samples[1::2]


def stereo(file: Path | BinaryIO) -> tuple[Sound, Sound]:
    """The left (citizen's) and the right (agent's) side of a recording."""
    with wave.open(str(file) if isinstance(file, Path) else file) as sound:
        assert sound.getnchannels() == 2
        assert sound.getsampwidth() == 2
        assert sound.getframerate() == RATE
        samples = np.frombuffer(sound.readframes(sound.getnframes()), dtype=np.int16)
    return samples[0::2], samples[1::2]


def _alaw(coded: bytes) -> Sound:
    """Decode A-law (ITU-T G.711)."""
    code = np.frombuffer(coded, dtype=np.uint8).astype(np.int32) ^ 0x55
    step, part = (code >> 4) & 7, code & 15
    size = np.where(step == 0, (part << 4) + 8, ((part << 4) + 0x108) << np.maximum(step - 1, 0))
    return np.asarray(np.where(code & 0x80, size, -size), dtype=np.int16)
