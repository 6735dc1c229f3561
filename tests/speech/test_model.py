"""Only the model that is pinned is used; what else lies there is refused with a sentence."""

from pathlib import Path

import pytest

from base.settings import Settings
from speech import model
from speech.model import SpeechError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    place = tmp_path / "model"
    place.mkdir()
    for name in model.FILES:
        (place / name).write_bytes(name.encode())
    made = Settings(home=tmp_path, speech_model=place)
    return made.model_copy(update={"speech_model_sha256": model.digest(place)})


def test_the_pinned_model_is_taken(settings: Settings) -> None:
    model.check(settings)


@pytest.mark.parametrize("name", model.FILES)
def test_a_changed_file_is_refused(settings: Settings, name: str) -> None:
    assert settings.speech_model is not None
    (settings.speech_model / name).write_bytes(b"other")
    with pytest.raises(SpeechError, match="is not the pinned one, and is not used"):
        model.load(settings)


@pytest.mark.parametrize("name", model.FILES)
def test_a_missing_file_says_how_to_get_it(settings: Settings, name: str) -> None:
    assert settings.speech_model is not None
    (settings.speech_model / name).unlink()
    with pytest.raises(SpeechError, match=f"has no {name}: run `hotline transcribe --make-model`"):
        model.load(settings)


def test_two_files_that_changed_places_are_refused(settings: Settings) -> None:
    assert settings.speech_model is not None
    first, second = (settings.speech_model / name for name in model.FILES[:2])
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)
    with pytest.raises(SpeechError, match="not the pinned one"):
        model.check(settings)


def test_another_file_in_the_folder_changes_nothing(settings: Settings) -> None:
    assert settings.speech_model is not None
    (settings.speech_model / "preprocessor.py").write_text("raise SystemExit")
    model.check(settings)


def test_without_the_extra_it_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        model, "_PARTS", {name: (("no_such_package", name),) for name in model.FILES}
    )
    with pytest.raises(SpeechError, match="the extra `speech` is not installed"):
        model.make(settings)


def test_a_folder_that_cannot_be_written_says_so(settings: Settings) -> None:
    blocked = settings.model_copy(update={"speech_model": Path("/dev/null/model")})
    with pytest.raises(SpeechError, match="cannot be written: a part of its path is no folder"):
        model.make(blocked)
