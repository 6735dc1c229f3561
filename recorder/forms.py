"""The forms of a finished recording, and what a file of each says about itself without being decoded.

mp4   Opus in MP4, the index in front: a browser seeks in it after some hundred bytes
wav   16 bits, no loss, 1.9 MB a minute
mp3   for programs that know nothing else

An MP4 has what was measured in a box of its own at its end (`uuid`, ISO/IEC 14496-12), so that it is hashed, encrypted,
copied and removed with the sound. Players skip it.
"""

import io
import os
import struct
import wave
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Final

from facts.times import SECOND
from recorder.audit import WINDOW, Levels
from recorder.policy import FRAME, RATE

HEADER: Final = 44
"""Bytes of a WAV before its sound."""
MEASURED: Final = bytes.fromhex("7f0a5c1e2b6d4e0a9a53686f746c696e")
"""The id of the box with levels and waveform."""

_BOX: Final = struct.Struct(">I4s")
_INSIDE: Final = struct.Struct(">BQI")
_FORM: Final = 1
_LONGEST: Final = 1 << 24
"""Bytes of a box that is read at once: an index of 4 hours has 3 million."""
_SHORTEST: Final = 8


class FormError(Exception):
    """A file is not what its name says, or is damaged. The message says how."""


class RecordingForm(StrEnum):
    """What a recording's file ends with."""

    MP4 = "mp4"
    WAV = "wav"
    MP3 = "mp3"

    @property
    def media_type(self) -> str:
        """As a browser needs to hear it (RFC 6381, RFC 3003)."""
        return {"mp4": "audio/mp4", "wav": "audio/wav", "mp3": "audio/mpeg"}[self.value]


@dataclass(frozen=True, slots=True)
class Header:
    """What a whole file says: `duration` in microseconds. Only our own MP4 has `levels` and `peaks` (`Sound`).

    Another MP4 says its duration to a millisecond.
    """

    duration: int
    levels: Levels | None = None
    peaks: bytes = b""


def form_of(name: str) -> RecordingForm:
    """The form of a file by its name. Raises `FormError` for another one."""
    ending = name.rpartition(".")[2]
    try:
        return RecordingForm(ending)
    except ValueError:
        raise FormError(f"{name} is no recording: it ends with neither mp4, wav nor mp3") from None


def read_header(sound: BinaryIO, form: RecordingForm) -> Header:
    """What a file says, once it is known to be whole, by its lengths. `sound` must seek. Raises `FormError`."""
    size = sound.seek(0, os.SEEK_END)
    sound.seek(0)
    if form is RecordingForm.WAV:
        return Header(frames_of(sound.read(HEADER), size) * SECOND // RATE)
    if form is RecordingForm.MP3:
        return Header(_mp3_frames(sound, size) * SECOND // RATE)
    return _mp4(sound, size)


def frames_of(head: bytes, size: int) -> int:
    """How many samples a side a WAV of `size` bytes has. Raises `FormError` unless its header, `head`, fits.

    Other programs play a header of length 0, as a crash leaves it, as silence.
    """
    try:
        with wave.open(io.BytesIO(head), "rb") as header:
            frames = header.getnframes()
            shape = (header.getnchannels(), header.getsampwidth(), header.getframerate())
    except (wave.Error, EOFError) as error:
        raise FormError(f"is no WAV file: {error}") from error
    if shape != (2, 2, RATE):
        raise FormError(f"is not 16-bit stereo at {RATE} Hz")
    if frames * FRAME != size - HEADER:
        raise FormError(
            f"is damaged: its header promises {frames * FRAME} bytes of sound, "
            f"it has {size - HEADER}"
        )
    return frames


def measured_box(levels: Levels, peaks: bytes) -> bytes:
    """The box that stands at the end of an MP4."""
    bits = [_packed(side) for side in (levels.left, levels.right)]
    inside = _INSIDE.pack(_FORM, levels.duration, len(levels.left)) + b"".join(bits) + peaks
    return _BOX.pack(_BOX.size + len(MEASURED) + len(inside), b"uuid") + MEASURED + inside


def _mp4(sound: BinaryIO, size: int) -> Header:
    at, duration, box, kinds = 0, None, b"", []
    while at < size:
        sound.seek(at)
        head = sound.read(_BOX.size)
        length, kind = _BOX.unpack(head) if len(head) == _BOX.size else (0, b"")
        if length < _SHORTEST or at + length > size:
            raise FormError("is damaged: it ends in the middle, or is no MP4 file")
        if kind in (b"moov", b"uuid") and length <= _LONGEST:
            content = sound.read(length - _BOX.size)
            if kind == b"moov":
                duration = _duration(content)
            elif content.startswith(MEASURED):
                box = content[len(MEASURED) :]
        kinds.append(kind)
        at += length
    if kinds[:1] != [b"ftyp"] or b"mdat" not in kinds or duration is None:
        raise FormError("is no MP4 file with sound")
    if not box:
        return Header(duration)
    return _measured(box)


def _duration(moov: bytes) -> int:
    """Of the film (`mvhd`, the first box in `moov`), in microseconds."""
    try:
        length, kind, version = struct.unpack_from(">I4sB", moov)
        scale, duration = struct.unpack_from(
            ">IQ" if version else ">II", moov, 28 if version else 20
        )
    except struct.error:
        raise FormError("is damaged: its index ends in the middle") from None
    if kind != b"mvhd" or length > len(moov) or not scale:
        raise FormError("is damaged: its index does not say how long it is")
    return int(duration) * SECOND // int(scale)


def _measured(box: bytes) -> Header:
    try:
        form, duration, windows = _INSIDE.unpack_from(box)
    except struct.error:
        raise FormError("is damaged: its levels end in the middle") from None
    width = -(-windows // 8)
    begin = _INSIDE.size
    if form != _FORM or windows != -(-duration // WINDOW) or len(box) < begin + 2 * width:
        raise FormError("is damaged: its levels do not fit its length")
    sides = [
        _unpacked(box[begin + side * width : begin + (side + 1) * width], windows)
        for side in (0, 1)
    ]
    return Header(duration, Levels(duration, *sides), box[begin + 2 * width :])


def _packed(side: bytes) -> bytes:
    number = int(side.translate(_TO_DIGITS) or b"0", 2)
    return number.to_bytes(-(-len(side) // 8), "big")


def _unpacked(packed: bytes, windows: int) -> bytes:
    if not windows:
        return b""
    return format(int.from_bytes(packed, "big"), f"0{windows}b").encode().translate(_FROM_DIGITS)


_TO_DIGITS: Final = bytes.maketrans(b"\0\1", b"01")
_FROM_DIGITS: Final = bytes.maketrans(b"01", b"\0\1")


def _mp3_frames(sound: BinaryIO, size: int) -> int:
    """Samples a side, by the frame that LAME writes first: what it added before and after does not count."""
    head = sound.read(10)
    if head.startswith(b"ID3") and len(head) == 10:
        # Its length has seven bits a byte (ID3v2.4).
        length = sum(
            (byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)
        )
        begin = 10 + length
    else:
        begin = 0
    sound.seek(begin)
    first = sound.read(_LAME_AT + 24 + 120)
    if first[:2] != b"\xff\xe3" or first[_LAME_AT : _LAME_AT + 4] not in (b"Info", b"Xing"):
        raise FormError(f"is no MP3 file of {RATE} Hz with its length")
    frames, length = struct.unpack_from(">II", first, _LAME_AT + 8)
    if length != size - begin:
        raise FormError(f"is damaged: it promises {length} bytes of sound, it has {size - begin}")
    gaps = int.from_bytes(first[_LAME_AT + 141 : _LAME_AT + 144], "big")
    return max(0, int(frames) * _A_FRAME - (gaps >> 12) - (gaps & 0xFFF))


_LAME_AT: Final = 21
"""Where its tag begins in the first frame: after the frame's head and the side information of two sides."""
_A_FRAME: Final = 576
"""Samples in a frame of MPEG 2.5, layer 3."""
