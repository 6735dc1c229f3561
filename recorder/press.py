"""Raw sound → MP4 with Opus, or MP3, and back: ffmpeg in a process of its own, fed and drained piece by piece.

The two sides stay apart. Opus at 24 kbit/s a pair couples them: what one side says is heard at -26 dB on the other. At
32 kbit/s a silent side stays silent (below -150 dB), and where both speak they are 43 dB apart, which is as much as can
be measured; `-mapping_family 255` would be as clean at 24, for twice the CPU, and not every browser plays it.

ffmpeg gets no file of ours by name. It writes into a file without a name, which the machine removes whatever dies: on
the disk of the raw files, or in memory when that disk is full, for only finished recordings make room there.
"""

import contextlib
import errno
import os
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import IO, BinaryIO, Final, cast

from facts.times import SECOND
from recorder import forms
from recorder.forms import FormError, RecordingForm
from recorder.policy import FRAME, RATE

PROGRAM: Final = "ffmpeg"
BLOCK: Final = 1 << 16

MISSING: Final = "ffmpeg is not installed: run `make setup`, or `apt-get install ffmpeg`"
LEAST_TIME: Final = 60.0
"""Seconds that ffmpeg may take for anything."""
SLOWEST: Final = 4.0
"""Seconds of sound that it must do a second, beyond that. It does 250, on a processor of its own."""

_RAW: Final = ("-f", "s16le", "-ar", str(RATE), "-ac", "2")
_QUIET: Final = ("-hide_banner", "-nostdin", "-loglevel", "error")
_SAME: Final = ("-fflags", "+bitexact", "-flags:a", "+bitexact", "-map_metadata", "-1")
"""The same sound makes the same file: no time, no version in it."""
_HOW: Final = {
    RecordingForm.MP4: (
        *("-c:a", "libopus", "-b:a", "32k", "-application", "audio"),
        *("-movflags", "+faststart", "-f", "mp4"),
    ),
    RecordingForm.MP3: (
        *("-c:a", "libmp3lame", "-b:a", "32k", "-joint_stereo", "0"),
        *("-f", "mp3"),
    ),
}
_NICE: Final = 10
"""Calls come first."""
_NEAR: Final = SECOND // 10
"""A file's own length may differ by this much: Opus has frames of 20 ms, and some before the sound."""
_SAID: Final = 600
"""Characters of ffmpeg's last words that are kept."""


class PressError(Exception):
    """ffmpeg did not do it. The message says why, for the operator. A full disk is an `OSError` instead."""


class LateError(PressError):
    """ffmpeg hangs: it had not ended in its time, and was killed."""


@dataclass(frozen=True, slots=True)
class Tags:
    """What a file says about itself; empty: nothing. Never a caller's number. `began` in ISO 8601."""

    call: str = ""
    began: str = ""
    hotline: str = ""


@contextlib.contextmanager
def press(
    pieces: Iterable[bytes], form: RecordingForm, *, folder: Path | None, tags: Tags, duration: int
) -> Generator[BinaryIO]:
    """Compress raw stereo, and give the finished file while the context lasts; nothing of it stays behind.

    `folder`: where the unnamed file lies; None: in memory, 4 KB for each second of sound. `duration`: of the sound in
    microseconds, which bounds the time. Raises `PressError`, and `OSError` for a full disk; its file is the folder.
    """
    with _unnamed(folder) as made:
        target = f"/proc/self/fd/{made.fileno()}"
        told = [
            word
            for name, value in (("title", tags.call), ("date", tags.began), ("album", tags.hotline))
            if value
            for word in ("-metadata", f"{name}={value}")
        ]
        arguments = command(form, told, "pipe:0", target)
        with _running(arguments, duration, pass_fds=(made.fileno(),), folder=folder) as ffmpeg:
            ffmpeg.feed(pieces)
        if not made.seek(0, os.SEEK_END):
            raise PressError("ffmpeg made an empty file")
        _check(made, form, duration)
        made.seek(0)
        yield made


def _unnamed(folder: Path | None) -> BinaryIO:
    if folder is None:
        return os.fdopen(os.memfd_create("recording"), "w+b")
    return cast("BinaryIO", tempfile.TemporaryFile(dir=folder))


def _check(made: BinaryIO, form: RecordingForm, duration: int) -> None:
    """That it is whole: ffmpeg's status is not believed, for the raw sound goes next. Raises `PressError`."""
    try:
        found = forms.read_header(made, form).duration
    except FormError as error:
        raise PressError(f"the file that ffmpeg made {error}") from None
    if abs(found - duration) > _NEAR:
        raise PressError(
            f"the file that ffmpeg made has {found / SECOND:.2f} s of {duration / SECOND:.2f} s"
        )


def command(form: RecordingForm, told: list[str], source: str, target: str) -> list[str]:
    """The arguments with which ffmpeg makes a recording of raw stereo; `told`: those for its tags."""
    # Without -xerror a disk that fills while it writes costs the end of the file, and its status says nothing of it.
    made = [*_QUIET, "-xerror", "-y", *_RAW, "-i", source, *_SAME, *told, "-threads", "1"]
    return [*made, *_HOW[form], target]


def decode(
    sound: BinaryIO, form: RecordingForm, duration: int, *, slowest: float | None = None
) -> Iterator[bytes]:
    """Give a compressed recording's raw stereo in pieces, just as many samples as `duration` (microseconds) has.

    `sound` is read once, from its beginning on. `slowest`: as `SLOWEST`, for a reader that takes its time. Raises
    `PressError`, also if it holds less than that; and what reading `sound` raises.
    """
    left = duration * RATE // SECOND * FRAME
    # ffmpeg is told the form: a file cannot make it read another file.
    command = [*_QUIET, "-f", form.value, "-i", "pipe:0", *_RAW, "pipe:1"]
    with _running(command, duration, draining=True, slowest=slowest) as ffmpeg:
        for piece in ffmpeg.through(_pieces(sound)):
            kept = piece[:left]
            left -= len(kept)
            if kept:
                yield kept
    if left > FRAME * RATE // 50:
        raise PressError(f"{left / FRAME / RATE:.2f} s are missing in the file")
    if left:
        yield bytes(left)


def is_there() -> bool:
    """Whether ffmpeg is installed."""
    return which(PROGRAM) is not None


def try_out(form: RecordingForm) -> None:
    """Compress a tenth of a second of silence. Raises `PressError` and `OSError` as `press` does."""
    silence = bytes(RATE // 10 * FRAME)
    with press(
        [silence], form, folder=Path(tempfile.gettempdir()), tags=Tags(), duration=SECOND // 10
    ):
        pass


def _pieces(sound: BinaryIO) -> Iterator[bytes]:
    sound.seek(0)
    while block := sound.read(BLOCK):
        yield block


class _Ffmpeg:
    """A running ffmpeg, its last words, and why it was stopped."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.late = False
        self._said: deque[bytes] = deque(maxlen=8)
        self._listener = threading.Thread(target=self._listen, name="ffmpeg-words", daemon=True)
        self._listener.start()

    def feed(self, pieces: Iterable[bytes]) -> None:
        """Give it all of its input. If it no longer listens, its status says why."""
        with contextlib.suppress(BrokenPipeError), _pipe(self.process.stdin) as target:
            for piece in pieces:
                target.write(piece)

    def through(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Give it all of its input and take what it makes of it, both at once."""
        failed: list[BaseException] = []

        def work() -> None:
            try:
                self.feed(pieces)
            except BaseException as error:  # noqa: BLE001 raised again below, in the thread that asked
                failed.append(error)

        feeder = threading.Thread(target=work, name="ffmpeg-input", daemon=True)
        feeder.start()
        with _pipe(self.process.stdout) as made:
            while piece := made.read(BLOCK):
                yield piece
        feeder.join()
        if failed:
            raise failed[0]

    def words(self) -> str:
        """The end of what it said, in one line."""
        self._listener.join(1)
        return b" ".join(b"".join(self._said).split()).decode("utf-8", "replace")[-_SAID:]

    def _listen(self) -> None:
        with _pipe(self.process.stderr) as said:
            while piece := os.read(said.fileno(), _SAID):
                self._said.append(piece)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("this pipe was not asked for")
    return stream


@contextlib.contextmanager
def _running(
    command: list[str],
    duration: int,
    *,
    pass_fds: Iterable[int] = (),
    draining: bool = False,
    folder: Path | None = None,
    slowest: float | None = None,
) -> Generator[_Ffmpeg]:
    """Start ffmpeg, stop it when its time is over, and judge its end. It never outlives the context."""
    try:
        process = subprocess.Popen(
            [PROGRAM, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if draining else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_environment(),
            pass_fds=tuple(pass_fds),
        )
    except FileNotFoundError:
        raise PressError(MISSING) from None
    with contextlib.suppress(OSError):  # it has ended already
        nice = max(_NICE, os.getpriority(os.PRIO_PROCESS, 0))
        os.setpriority(os.PRIO_PROCESS, process.pid, nice)
    ffmpeg = _Ffmpeg(process)
    seconds = LEAST_TIME + duration / SECOND / (slowest or SLOWEST)

    def stop() -> None:
        ffmpeg.late = True
        process.kill()

    watch = threading.Timer(seconds, stop)
    watch.daemon = True
    watch.start()
    try:
        yield ffmpeg
        status = process.wait()
    except BaseException:
        process.kill()
        raise
    finally:
        watch.cancel()
        process.wait()
    if status:
        raise _why(ffmpeg, status, seconds, folder)


def _why(ffmpeg: _Ffmpeg, status: int, seconds: float, folder: Path | None) -> Exception:
    words = ffmpeg.words()
    if ffmpeg.late:
        return LateError(f"ffmpeg hangs: it had not ended after {seconds:.0f} s, and was killed")
    if os.strerror(errno.ENOSPC) in words:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder or ""))
    if status < 0:
        return PressError(f"ffmpeg was killed by signal {-status}")
    return PressError(f"ffmpeg failed with status {status}: {words or 'it said nothing'}")


def _environment() -> Mapping[str, str]:
    """No secret of ours reaches ffmpeg, and its messages are in English."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
