"""The phrases on disk: the file of sentences, and how long their rendered sounds last."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ivr.phrases import Phrase, PhraseError, forbidden_of, phrases_of


def load(path: Path) -> Mapping[str, Phrase]:
    """Read a phrase file. Returns key → phrase, in the file's order.

    Raises `PhraseError` when the file is missing, is no TOML, or a phrase is incomplete.
    """
    return phrases_of(_read(path), str(path))


def load_forbidden(path: Path) -> tuple[str, ...]:
    """The words that an agent must never say (服务禁语, R44), from the same file, in its order.

    Raises `PhraseError` when they are missing.
    """
    return forbidden_of(_read(path), str(path))


def seconds(folder: Path, sound: str) -> float:
    """How long a rendered sound lasts, from the folder of Asterisk's sounds; 0 when there is no such A-law file."""
    try:
        return os.stat(f"{folder}/{sound}.alaw").st_size / _BYTES_A_SECOND  # noqa: PTH116 - once a call
    except OSError:
        return 0.0


_BYTES_A_SECOND = 8000
"""Of A-law (ITU-T G.711)."""


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PhraseError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PhraseError(f"{path}: is not valid TOML ({error})") from error
