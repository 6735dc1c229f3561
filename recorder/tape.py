"""Raw sound → one stereo file a call: the citizen left, what the citizen heard (prompts, music, agent) right.

A short plain WAV is made by pydub, which holds it in memory. ffmpeg makes MP4 and MP3, piece by piece. A long WAV, and
one that is encrypted, is written piece by piece here: it is a header before the same bytes.

It runs in worker processes, because it reads, hashes and syncs. Nothing here knows calls, the diary or the database.
"""

import errno
import hashlib
import io
import os
import signal
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from base import files
from base.workers import end_with_parent
from facts.times import SECOND
from recorder import forms, press
from recorder.entry import LedgerEntry, Sound
from recorder.forms import HEADER, FormError, RecordingForm
from recorder.policy import FRAME, RATE
from recorder.press import LateError, PressError, Tags
from recorder.sound import Meter
from recorder.vault import crypt
from recorder.vault.crypt import FileKey, WrappedKey, Writer

with warnings.catch_warnings():
    # It says so at import if there is no ffmpeg. It needs none for WAV.
    warnings.simplefilter("ignore")
    from pydub import AudioSegment

STREAM_FROM: Final = 900 * RATE * FRAME
"""Bytes from which on a recording is streamed: pydub holds a whole one in memory (15 minutes: 29 MB, twice)."""
BLOCK: Final = 1 << 20
IN_MEMORY: Final = 4 * 3600
"""Seconds of sound that may be compressed in memory: 60 MB."""


class TapeError(Exception):
    """A recording's file cannot be read or written. The message is for the operator."""


@dataclass(frozen=True, slots=True)
class Tape:
    """A finished file. `duration` in microseconds, `size` in bytes, `sha256` of the whole file in hex.

    `dropped`: bytes of a last, incomplete sample that a crash left behind; the file does not have them. A raw file
    without one complete sample makes no file: then `size` and `duration` are 0 and `sha256` is empty. `sound`: what was
    measured, if it was made just now.

    `cipher_sha256` and `key` are there if it lies encrypted; `size` and `sha256` are of the plain sound all the same.
    """

    duration: int
    size: int
    sha256: str
    dropped: int = 0
    cipher_sha256: str = ""
    key: WrappedKey | None = field(default=None, repr=False)
    form: RecordingForm = RecordingForm.WAV
    sound: Sound | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Make `place` from `raw`. `swap`: the raw file has the citizen on the right. `key`: encrypt it with this one.

    `entered`: the row that there is already. If the sound is the same and `place` is there, it stays as it is:
    a second encryption would be another file than the one that was vouched for.
    """

    raw: Path
    place: Path
    swap: bool = False
    key: FileKey | None = None
    entered: LedgerEntry | None = None
    form: RecordingForm = RecordingForm.WAV
    tags: Tags = field(default_factory=Tags)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one file of a batch was not finished.

    `disk`: the disk or the folder is why (full, not to be written), so another file would not be finished either.
    `hangs`: ffmpeg was stopped because it did not end.
    """

    why: str
    disk: bool = False
    hangs: bool = False


def finish(raw: Path, wav: Path, *, swap: bool = False) -> Tape:
    """Make a plain WAV, as `finish_one` does."""
    return finish_one(Job(raw, wav, swap))


def finish_one(job: Job) -> Tape:
    """Make a recording's file: synced, renamed into place as a whole, or not at all. The folder is made.

    The same raw file always makes the same sound. `raw` stays. Sound that is to be encrypted lies plain nowhere but in
    the spool, beside `raw`, in a file without a name, or in memory. Raises `OSError`, `TapeError` and `PressError`.
    """
    tape, is_new = _do(job)
    if is_new:
        _put_in_place([job.place])
    return tape


def finish_batch(work: Sequence[Job]) -> list[Tape | Fault]:
    """Do `finish_one` for several jobs, one answer each, in order. Cheaper: one sync of each folder for all."""
    answers: list[Tape | Fault] = []
    made: list[Path] = []
    for job in work:
        try:
            tape, is_new = _do(job)
        except (OSError, TapeError, PressError) as error:
            answers.append(_fault(error, job.raw))
        else:
            answers.append(tape)
            if is_new:
                made.append(job.place)
    try:
        _put_in_place(made)
    except OSError as error:
        return [_fault(error)] * len(work)
    return answers


def inspect(place: Path) -> Tape:
    """Read a finished, plain file again and describe it. Raises `TapeError` when it is not as `finish` makes them."""
    try:
        with place.open("rb") as file:
            return describe(file, place)
    except OSError as error:
        raise TapeError(f"{place} cannot be read: {error.strerror or error}") from error


def describe(
    sound: BinaryIO, place: Path, *, cipher_sha256: str = "", key: WrappedKey | None = None
) -> Tape:
    """Read the plain sound of `place` to its end, and describe it. Raises as `inspect`, and what reading raises."""
    form, header = header_of(sound, place)
    size = sound.seek(0, os.SEEK_END)
    sound.seek(0)
    digest = hashlib.sha256()
    while block := sound.read(BLOCK):
        digest.update(block)
    return Tape(
        header.duration, size, digest.hexdigest(), cipher_sha256=cipher_sha256, key=key, form=form
    )


def header_of(sound: BinaryIO, place: Path) -> tuple[RecordingForm, forms.Header]:
    """The form of a finished file by its name, and what it says of itself. Raises `TapeError` if it is not whole."""
    try:
        form = forms.form_of(place.name.removesuffix(crypt.SUFFIX))
        return form, forms.read_header(sound, form)
    except FormError as error:
        raise TapeError(f"{place} {error}") from error


def convert(
    sound: BinaryIO,
    mine: RecordingForm,
    form: RecordingForm,
    entry: LedgerEntry,
    folder: Path,
    tags: Tags,
) -> Iterator[bytes]:
    """Give a finished recording in another form, piece by piece. `folder`: for an unnamed file, if it needs one.

    Each form says of itself what `tags` says. Raises `OSError`, `PressError` and what reading raises.
    """
    raw = raw_of(sound, mine, entry)
    if form is RecordingForm.WAV:
        told = _info(tags)
        yield head_of(entry.duration * RATE // SECOND, len(told))
        yield from raw
        yield told
    else:
        with press.press(raw, form, folder=folder, tags=tags, duration=entry.duration) as made:
            yield from iter(lambda: made.read(BLOCK), b"")


def raw_of(
    sound: BinaryIO, mine: RecordingForm, entry: LedgerEntry, skip: int = 0
) -> Iterator[bytes]:
    """The samples of a finished recording, piece by piece. `skip`: bytes of them, only of a WAV."""
    if mine is RecordingForm.WAV:
        sound.seek(HEADER + skip)
        return iter(lambda: sound.read(BLOCK), b"")
    return press.decode(sound, mine, entry.duration)


def head_of(frames: int, behind: int = 0) -> bytes:
    """The header of a WAV with so many samples a side; `behind`: bytes that stand behind them."""
    size = frames * FRAME
    return _HEAD.pack(*(b"RIFF", 36 + size + behind, b"WAVE", b"fmt ", 16), *_FORM, b"data", size)


def _info(tags: Tags) -> bytes:
    """What a WAV says of itself (RIFF 1.0, `LIST` `INFO`), behind the sound: the header stays 44 bytes."""
    told = b""
    for name, value in ((b"INAM", tags.call), (b"ICRD", tags.began), (b"IPRD", tags.hotline)):
        if value:
            text = value.encode() + b"\0"
            told += name + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2)
    return b"LIST" + struct.pack("<I", 4 + len(told)) + b"INFO" + told if told else b""


def prepare_worker() -> None:
    """Call this first in a worker process: give way to calls, leave signals to the parent, do not outlive it."""
    os.nice(10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with_parent()


def _do(job: Job) -> tuple[Tape, bool]:
    """Write and sync the file under its provisional name, and say whether there is one now."""
    if job.entered is not None and job.place.exists():
        with job.raw.open("rb") as source:
            known = _compare(source, job, job.entered)
        if known is not None:
            return known, False
    tape = _write(job)
    return tape, bool(tape.size)


def _compare(source: BinaryIO, job: Job, entered: LedgerEntry) -> Tape | None:
    """The tape that was entered, if it is the one that this raw file makes."""
    frames, dropped = divmod(source.seek(0, os.SEEK_END), FRAME)
    source.seek(0)
    duration = frames * SECOND // RATE
    if job.form is RecordingForm.WAV:
        digest = hashlib.sha256()
        _stream(_samples(source, frames, job.swap, None), digest.update, frames)
        same = digest.hexdigest() == entered.sha256
    else:
        # Asterisk only ever appends. Compressing it again could differ, with another ffmpeg.
        same = duration == entered.duration
    if not same:
        return None
    return Tape(
        duration,
        entered.size,
        entered.sha256,
        dropped,
        entered.cipher_sha256,
        entered.key,
        job.form,
    )


def _write(job: Job) -> Tape:
    raw, place = job.raw, job.place
    with raw.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        frames, dropped = divmod(size, FRAME)
        if not frames:
            return Tape(0, 0, "", dropped, form=job.form)
        if frames * FRAME + HEADER >= 1 << 32:
            raise TapeError(f"{raw} is too long: {size} bytes")
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = _part(place)
        try:
            # Asterisk may have written more since. Only what was there at the beginning counts.
            try:
                return _write_part(source, part, frames, dropped, job, raw.parent)
            except OSError as error:
                if not _spool_is_full(error, job, frames):
                    raise
                source.seek(0)
                return _write_part(source, part, frames, dropped, job, None)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _spool_is_full(error: OSError, job: Job, frames: int) -> bool:
    """Whether a second try in memory may do: only a finished recording makes room in the spool."""
    full = error.errno == errno.ENOSPC and error.filename == str(job.raw.parent)
    return full and frames <= IN_MEMORY * RATE


def _write_part(
    source: BinaryIO, part: Path, frames: int, dropped: int, job: Job, folder: Path | None
) -> Tape:
    """`folder`: of the unnamed file for a compressed form; None: in memory."""
    meter = Meter()
    duration = frames * SECOND // RATE
    with part.open("wb") as target:
        os.fchmod(target.fileno(), 0o600)
        sink = _Plain(target) if job.key is None else Writer(target, job.key)
        pieces = _samples(source, frames, job.swap, meter)
        if job.form is RecordingForm.WAV:
            if job.key is None and frames * FRAME < STREAM_FROM:
                _whole(b"".join(pieces), sink)
            else:
                _stream(pieces, sink.write, frames)
            sound = meter.finish()
        else:
            with press.press(
                pieces, job.form, folder=folder, tags=job.tags, duration=duration
            ) as made:
                while block := made.read(BLOCK):
                    sink.write(block)
            sound = meter.finish()
            if job.form is RecordingForm.MP4:
                sink.write(forms.measured_box(sound.levels, sound.peaks))
        sink.finish()
        target.flush()
        os.fsync(target.fileno())
    return Tape(
        duration,
        sink.size,
        sink.sha256,
        dropped,
        sink.cipher_sha256,
        None if job.key is None else job.key.wrapped,
        job.form,
        sound,
    )


class _Plain:
    """A file as `Writer` is one, without a key."""

    def __init__(self, target: BinaryIO) -> None:
        self.size = 0
        self.sha256 = self.cipher_sha256 = ""
        self._target = target
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Take all of it."""
        self._digest.update(data)
        self.size += len(data)
        return self._target.write(data)

    def finish(self) -> None:
        """There is no more."""
        self.sha256 = self._digest.hexdigest()


def _samples(source: BinaryIO, frames: int, swap: bool, meter: Meter | None) -> Iterator[bytes]:
    """The raw sound in blocks of whole samples, citizen left, measured on its way."""
    left = frames * FRAME
    while left and (block := source.read(min(BLOCK, left))):
        # The block size is a multiple of the sample size and a disk file gives full blocks: no sample is cut.
        left -= len(block)
        block = _swapped(block) if swap else block
        if meter is not None:
            meter.add(block)
        yield block
    if left:
        raise TapeError(f"{left} bytes are missing: the raw file shrank meanwhile")


def _whole(data: bytes, sink: "_Plain | Writer") -> None:
    made = AudioSegment(data=data, sample_width=2, frame_rate=RATE, channels=2)
    wav = io.BytesIO()
    made.export(wav, format="wav")
    sink.write(wav.getvalue())


def _stream(pieces: Iterator[bytes], put: Callable[[bytes], object], frames: int) -> None:
    """Give the same bytes as pydub writes, in bounded memory."""
    put(head_of(frames))
    for piece in pieces:
        put(piece)


_HEAD: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_FORM: Final = (1, 2, RATE, RATE * FRAME, FRAME, 16)
"""PCM, two sides of 16 bits."""


def _swapped(data: bytes) -> bytes:
    """Change left and right."""
    swapped = bytearray(len(data))
    for here, there in ((0, 2), (1, 3), (2, 0), (3, 1)):
        swapped[here::FRAME] = data[there::FRAME]
    return bytes(swapped)


def _put_in_place(made: Sequence[Path]) -> None:
    for place in made:
        _part(place).replace(place)
    for folder in {place.parent for place in made}:
        files.sync_folder(folder)


def _part(place: Path) -> Path:
    return place.with_name(f".{place.name}.part")


def _fault(error: OSError | TapeError | PressError, raw: Path | None = None) -> Fault:
    if not isinstance(error, OSError):
        return Fault(str(error), hangs=isinstance(error, LateError))
    of_raw = raw is not None and error.filename == str(raw)
    return Fault(
        f"{error.filename or 'the recordings folder'}: {error.strerror or error}",
        disk=error.errno in _OF_DISK and not of_raw,
    )


_OF_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})
