"""A part of a recording as a WAV, piece by piece, into a pipe: the machine's own player, or another program.

Plain sound lies nowhere on the way, and memory stays the same however long the recording is. Opus and MP3 are decoded
from their beginning on: ffmpeg reads a pipe, which cannot seek.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Generator, Iterable
from shutil import which
from typing import IO, BinaryIO, Final

from facts.times import SECOND
from recorder import tape
from recorder.entry import LedgerEntry
from recorder.forms import RecordingForm
from recorder.policy import FRAME, RATE

_PLAYERS: Final = (
    ("aplay", "--quiet", "-"),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error", "-i", "pipe:0"),
)
"""Programs that play a WAV from their standard input, the first one that is there."""
_NO_SOUND: Final = b"audio open failed"
"""ffplay says so where there is no sound, and ends with status 0."""
_SAID: Final = 2000
"""Bytes of a player's last words that are kept."""
MISSING: Final = (
    "there is no player here: install one, `apt-get install alsa-utils`, or pipe the sound into another program with "
    "--out -"
)


class PlayError(Exception):
    """A part cannot be played. The message says why, and can be shown as it is."""


def frames_of(entry: LedgerEntry, begin: int, end: int | None) -> tuple[int, int]:
    """The first sample of a part, and the one behind its last. Raises `PlayError` for a part that is not in it."""
    frames = entry.duration * RATE // SECOND
    first = begin * RATE // SECOND
    last = frames if end is None else min(frames, end * RATE // SECOND)
    if not 0 <= first < last:
        raise PlayError(
            f"there is nothing to play from {begin / SECOND:g} s to {last / RATE:g} s: the recording has "
            f"{entry.duration / SECOND:.1f} s"
        )
    return first, last


def part(
    sound: BinaryIO, mine: RecordingForm, entry: LedgerEntry, begin: int = 0, end: int | None = None
) -> Generator[bytes]:
    """A WAV with the sound from `begin` to `end` (microseconds), or to the recording's end.

    `sound`: the plain bytes of the recording in the form `mine`. Raises `PlayError`, `PressError` and what reading
    raises.
    """
    first, last = frames_of(entry, begin, end)
    yield tape.head_of(last - first)
    skip, left = first * FRAME, (last - first) * FRAME
    if mine is RecordingForm.WAV:
        pieces, skip = tape.raw_of(sound, mine, entry, skip), 0
    else:
        pieces = tape.raw_of(sound, mine, entry)
    for piece in pieces:
        kept = piece[skip : skip + left]
        skip -= min(skip, len(piece))
        left -= len(kept)
        if kept:
            yield kept
        if not left:
            return


def player() -> tuple[str, ...]:
    """The command of a player on this machine. Raises `PlayError` if there is none."""
    for command in _PLAYERS:
        if which(command[0]):
            return command
    raise PlayError(MISSING)


def play(pieces: Iterable[bytes], command: tuple[str, ...]) -> None:
    """Have a player play a WAV to its end, or until somebody stops it. Raises `PlayError` if it fails.

    The player sees no setting of ours, among which are keys.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("HOTLINE_")
    }
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=complaints, env=environment
        ) as process,
    ):
        try:
            if process.stdin is not None:
                feed(pieces, process.stdin)
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
            status = process.wait()
        except BaseException:
            process.kill()
            raise
        complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - _SAID))
        said = complaints.read()
    if status or _NO_SOUND in said:
        words = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise PlayError(
            f"{command[0]} could not play it ({words or f'status {status}'}): if this machine has no sound, pipe it "
            "into another program with --out -"
        )


def feed(pieces: Iterable[bytes], target: IO[bytes]) -> bool:
    """Write all pieces into a pipe. False if whoever reads it has stopped before the end."""
    try:
        for piece in pieces:
            target.write(piece)
        target.flush()
    except BrokenPipeError:
        return False
    return True
