"""A finished file, read once: SHA-256, duration, and in which tenths of a second each side is heard.

An MP4 says that itself: it was measured when it was made, and its hash vouches for it. A WAV is looked through, an MP3
decoded.

It runs in worker processes. Memory does not grow with the file. numpy sees a block while it is in the cache for the
hash: that costs a twentieth of the hash itself.
"""

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from base import retry
from base.settings import Settings
from facts.times import SECOND
from recorder import press, tape
from recorder.audit import LEVEL, WINDOW, FileState, Levels
from recorder.entry import LedgerEntry
from recorder.forms import HEADER, RecordingForm
from recorder.policy import FRAME, RATE
from recorder.press import PressError
from recorder.sound import Meter
from recorder.tape import TapeError
from recorder.vault import reading
from recorder.vault.crypt import VaultError
from recorder.vault.keys import KeyAwayError
from recorder.vault.trouble import StoreError

_FRAMES: Final = RATE * WINDOW // SECOND
"""Samples of each side in a window."""
_BLOCK: Final = 320 * _FRAMES * FRAME
"""A megabyte of whole windows."""
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class HeardFile:
    """What a row's file holds. `levels` unless it cannot be read; `why`: a sentence unless it is whole."""

    state: FileState
    levels: Levels | None = None
    why: str = ""


def listen_to(settings: Settings, wanted: Sequence[LedgerEntry]) -> list[HeardFile]:
    """Read the files of these rows, one answer each, in order. Raises nothing for one that is gone or damaged.

    Raises `StoreError` if the store does not say.
    """
    return [_patiently(settings, one) for one in wanted]


def _patiently(settings: Settings, wanted: LedgerEntry) -> HeardFile:
    """One answer too few of a store does not end an audit of a hundred thousand."""
    for failures in range(1, _ATTEMPTS):
        try:
            return _listen(settings, wanted)
        except StoreError:
            time.sleep(retry.STORE.pause(failures))
    return _listen(settings, wanted)


def _listen(settings: Settings, wanted: LedgerEntry) -> HeardFile:
    other = False
    try:
        with reading.once(settings, wanted) as file:
            try:
                with file.open() as sound:
                    levels, size, sha256 = listen(sound, settings.recordings_dir / wanted.path)
            finally:
                other = file.altered()
    except FileNotFoundError:
        return HeardFile(FileState.GONE)
    except StoreError:
        raise  # that says nothing about the file
    except KeyAwayError as error:
        if other:
            return HeardFile(FileState.TORN, why="the SHA-256 of the encrypted file differs")
        return HeardFile(FileState.LOCKED, why=str(error))
    except (OSError, TapeError, VaultError, PressError) as error:
        return HeardFile(FileState.TORN, why=str(error))
    if other:
        return HeardFile(FileState.ALTERED, levels, "the SHA-256 of the encrypted file differs")
    if sha256 != wanted.sha256:
        return HeardFile(FileState.ALTERED, levels, "its SHA-256 differs")
    if (levels.duration, size) != (wanted.duration, wanted.size):
        return HeardFile(FileState.ALTERED, levels, "the row was changed: duration or size differ")
    return HeardFile(FileState.WHOLE, levels)


def listen(sound: BinaryIO, place: Path) -> tuple[Levels, int, str]:
    """Give a file's levels, its size in bytes and its SHA-256.

    Raises `OSError`, `TapeError` as `tape.inspect`, and `PressError` if it cannot be decoded.
    """
    form, header = tape.header_of(sound, place)
    size = sound.seek(0, os.SEEK_END)
    sound.seek(0)
    if form is not RecordingForm.WAV:
        digest = hashlib.sha256()
        while block := sound.read(_BLOCK):
            digest.update(block)
        levels = header.levels
        if levels is None:
            meter = Meter()
            for piece in press.decode(sound, form, header.duration):
                meter.add(piece)
            levels = meter.finish().levels
        return levels, size, digest.hexdigest()
    digest = hashlib.sha256(sound.read(HEADER))
    left, right = bytearray(), bytearray()
    while block := sound.read(_BLOCK):
        digest.update(block)
        peaks = _peaks(block)
        left += peaks[:, 0].tobytes()
        right += peaks[:, 1].tobytes()
    return Levels(header.duration, bytes(left), bytes(right)), size, digest.hexdigest()


def _peaks(block: bytes) -> npt.NDArray[np.uint8]:
    """One row a window: whether left and right reach `LEVEL`. The last window may be shorter."""
    samples = np.frombuffer(block, dtype="<i2")
    # The size of a sample in ones' complement. LEVEL is a power of two, so some sample reaches it if their OR does.
    sizes = samples ^ (samples >> 15)
    whole = sizes.size // (2 * _FRAMES) * 2 * _FRAMES
    both = np.bitwise_or.reduce(sizes[:whole].view("<u4").reshape(-1, _FRAMES), axis=1)
    peaks = both.view("<u2").reshape(-1, 2)
    if whole < sizes.size:
        rest = np.bitwise_or.reduce(sizes[whole:].reshape(-1, 2), axis=0).astype("<u2")
        peaks = np.vstack([peaks, rest])
    heard: npt.NDArray[np.uint8] = (peaks >= LEVEL).astype(np.uint8)
    return heard
