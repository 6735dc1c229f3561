"""`hotline talk`: which request each verb makes, and what is said of it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from base.bus import Bus, NoAnswer, Refused
from facts.control import (
    DialForAgent,
    HandOverTalk,
    HangUpTalk,
    HoldTalk,
    MuteTalk,
    ResumeTalk,
    TransferTalk,
)
from facts.requests import EndTalk, LeaveTalk, ListenToTalk, Reply, Request
from hotline.cli.main import app
from hotline.cli.tools import operator

BY = operator()


class Controller:
    """Answers as `said` says."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.said: str | Exception = "agent 1001: it is so"

    def run(self, *words: str, status: int = 0) -> str:
        done = CliRunner().invoke(app, ["talk", *words])
        assert done.exit_code == status, done.output
        return done.output


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Controller:
    made = Controller()

    async def ask(_bus: Bus, asked: Request, **_more: object) -> Reply:
        made.asked.append(asked)
        if isinstance(made.said, Exception):
            raise made.said
        return Reply(made.said)

    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path))
    monkeypatch.setattr(Bus, "ask", ask)
    return made


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("hold 1001", HoldTalk("1001", BY)),
        ("resume 1001", ResumeTalk("1001", BY)),
        ("mute 1001", MuteTalk("1001", "on", BY)),
        ("unmute 1001", MuteTalk("1001", "off", BY)),
        ("hang-up 1001", HangUpTalk("1001", BY)),
        ("transfer 1001 1002", TransferTalk("1001", "1002", by=BY)),
        ("transfer 1001 --queue tax", TransferTalk("1001", queue="tax", by=BY)),
        ("hand-over 1001", HandOverTalk("1001", BY)),
        ("dial 1001 13800000001", DialForAgent("1001", "13800000001", by=BY)),
        ("dial 1001 13800000001 --queue tax", DialForAgent("1001", "13800000001", "tax", BY)),
        ("listen 1001 --phone 1003", ListenToTalk("1001", "1003", "listen", BY, 1)),
        ("listen 1001 --phone 1003 --mode step_in", ListenToTalk("1001", "1003", "step_in", BY, 1)),
        ("leave 1001 --phone 1003", LeaveTalk("1001", "1003")),
        ("end 1001 --reason why", EndTalk("1001", BY, "why")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_verb_is_asked_of_the_controller(
    controller: Controller, words: str, asked: Request
) -> None:
    assert controller.run(*words.split()) == "agent 1001: it is so\n"
    assert controller.asked == [asked]


@pytest.mark.parametrize(
    "why", [Refused("agent 1001 is not in a talk"), NoAnswer("the controller does not answer")]
)
def test_a_refusal_is_a_sentence_and_a_status(controller: Controller, why: Exception) -> None:
    controller.said = why
    assert controller.run("hold", "1001", status=1) == f"hotline: {why}\n"


@pytest.mark.parametrize(
    "words",
    ["transfer 1001", "transfer 1001 1002 --queue tax", "listen 1001 --phone 1003 --mode take"],
)
def test_what_cannot_be_asked_for_is_asked_of_nobody(controller: Controller, words: str) -> None:
    controller.run(*words.split(), status=2)
    assert controller.asked == []
