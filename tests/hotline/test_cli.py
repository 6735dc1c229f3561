"""What all commands have in common."""

import gc
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hotline import __main__
from hotline.cli import main
from hotline.cli.main import app


@pytest.mark.parametrize("command", ["report sla", "simulate", "staff", "demo"])
def test_a_language_that_does_not_exist_is_a_sentence(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path / "home"))
    done = CliRunner().invoke(app, [*command.split(), "--lang", "fr"])
    assert done.exit_code == 2
    assert done.stderr == "hotline: --lang fr: there is zh, en\n"
    assert not (tmp_path / "home").exists(), "nothing was begun"


def test_the_collector_is_off_only_while_the_program_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: on.append(gc.isenabled()))
    monkeypatch.setattr(main, "main", lambda: on.append(gc.isenabled()))
    __main__.main()
    assert on == [False, True]
