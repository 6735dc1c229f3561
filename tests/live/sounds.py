"""Prompts, music and recordings as samples, to be compared with what simulated telephones heard."""

import wave
from pathlib import Path

import numpy as np

from hotline.phones import RATE, Sound

_ASTERISK_CONF = Path(__file__).parents[2] / "asterisk-conf"


def prompt(key: str, language: str = "zh") -> Sound:
    """A spoken phrase, such as `greeting_12345`."""
    return _alaw((_ASTERISK_CONF / "prompts" / language / f"{key}.alaw").read_bytes())


def music() -> list[Sound]:
    """Every piece of music on hold."""
    return [_alaw(file.read_bytes()) for file in sorted((_ASTERISK_CONF / "music").glob("*.alaw"))]


def stereo(file: Path) -> tuple[Sound, Sound]:
    """The left (citizen's) and the right (agent's) side of a recording."""
    with wave.open(str(file)) as sound:
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
