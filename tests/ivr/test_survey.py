"""What is asked of Asterisk in a survey, and which facts come of it."""

from collections.abc import AsyncIterator

import pytest

from facts import Fact, SurveyEnded, SurveyOffered, SurveyRated
from facts.terms import CallId, Grade, SurveyEnd
from ivr.reception import Reception
from ivr.server import Server, serve
from ivr.session import Pace
from ivr.survey import Invitation
from tests.fakes.asterisk_agi import SECRET, FakeCall, close_all
from tests.ivr.test_server import CALL, NOW, FakeDesk
from tests.ivr.test_server import ended as over

ASK, WRONG = "hotline/survey_invitation", "hotline/survey_wrong_key"
FAREWELL, THANKS = "hotline/survey_farewell", "hotline/survey_thanks"


class FakeSurveys:
    """What `hotline.controller.surveys` would say."""

    def __init__(self) -> None:
        self.invitation: Invitation | None = Invitation("1001", asks=True)
        self.facts: list[Fact] = []
        self.handed: list[str] = []
        self.why = ""

    async def invite(self, call: CallId) -> Invitation | None:
        return self.invitation

    async def hand_over_by_key(self, agent: str) -> str:
        self.handed.append(agent)
        return self.why

    def report(self, *facts: Fact) -> None:
        self.facts += facts


@pytest.fixture
def surveys() -> FakeSurveys:
    return FakeSurveys()


@pytest.fixture
def language() -> list[str]:
    return ["zh"]


@pytest.fixture
async def server(surveys: FakeSurveys, language: list[str]) -> AsyncIterator[Server]:
    async def feature(agent: str, action: str, key: str) -> str:
        return "ok"

    made = await serve(
        *("127.0.0.1", 0),
        secret=SECRET,
        desk=FakeDesk(),
        clock=lambda: NOW,
        feature=feature,
        pace=Pace(survey_reason=5),
        receive=lambda number, caller, at: Reception(language=language[0]),
        surveys=surveys,
    )
    yield made
    await made.close()
    await over(made)
    await close_all()


async def asked(server: Server, *keys: str) -> list[str]:
    """The sounds that a citizen hears who presses these keys, empty for none; and that the survey was carried out."""
    call = await FakeCall.connect(server.port, "12345", script="survey", call=CALL)
    left = list(keys)
    sounds = []
    done = False
    while command := await call.next():
        if command[:2] == ["GET", "DATA"]:
            sounds.append(command[2])
            key = left.pop(0)
            call.answer(f"200 result={key}" if key else "200 result= (timeout)")
            continue
        if command[:2] == ["STREAM", "FILE"]:
            sounds.append(command[2])
        done = done or command == ["SET", "VARIABLE", "HL_SURVEYED", "1"]
        call.answer("200 result=0 endpos=8000")
    assert done
    return sounds


def end(surveys: FakeSurveys) -> SurveyEnded:
    offered, *_, last = surveys.facts
    assert offered == SurveyOffered(NOW, CALL, "1001")
    assert isinstance(last, SurveyEnded)
    return last


@pytest.mark.parametrize(
    ("key", "grade"), [("1", Grade.VERY_SATISFIED), ("3", Grade.FAIRLY_SATISFIED)]
)
async def test_a_key_is_the_rating(
    server: Server, surveys: FakeSurveys, key: str, grade: Grade
) -> None:
    assert await asked(server, key) == [ASK, THANKS]
    assert end(surveys) == SurveyEnded(NOW, CALL, "1001", SurveyEnd.RATED)
    assert surveys.facts[1:-1] == [SurveyRated(NOW, CALL, "1001", grade)]


async def test_a_wrong_key_is_asked_again_once(server: Server, surveys: FakeSurveys) -> None:
    assert await asked(server, "7", "2") == [ASK, WRONG, THANKS]
    assert end(surveys).end is SurveyEnd.RATED
    surveys.facts.clear()
    assert await asked(server, "7", "#") == [ASK, WRONG, FAREWELL]
    assert end(surveys).end is SurveyEnd.WRONG_KEY
    assert len(surveys.facts) == 2


async def test_no_key_is_no_rating(server: Server, surveys: FakeSurveys) -> None:
    assert await asked(server, "") == [ASK, FAREWELL]
    assert end(surveys).end is SurveyEnd.NO_KEY
    assert len(surveys.facts) == 2


async def test_after_a_bad_one_the_reason_is_heard(server: Server, surveys: FakeSurveys) -> None:
    assert await asked(server, "5") == [ASK, "hotline/survey_reason", THANKS]
    assert end(surveys) == SurveyEnded(NOW, CALL, "1001", SurveyEnd.RATED, reason_at=NOW)


async def test_a_hang_up_in_it_is_no_rating(server: Server, surveys: FakeSurveys) -> None:
    call = await FakeCall.connect(server.port, "12345", script="survey", call=CALL)
    await call.until("GET DATA")
    call.hang_up()
    await call.end()
    assert end(surveys).end is SurveyEnd.HUNG_UP
    assert len(surveys.facts) == 2


async def test_whoever_was_asked_today_hears_the_farewell_alone(
    server: Server, surveys: FakeSurveys
) -> None:
    surveys.invitation = Invitation("1001", asks=False)
    assert await asked(server) == [FAREWELL]
    surveys.invitation = None
    assert await asked(server) == []
    assert surveys.facts == []


async def test_in_english(server: Server, surveys: FakeSurveys, language: list[str]) -> None:
    language[0] = "en"
    assert await asked(server, "1") == ["hotline-en/survey_invitation", "hotline-en/survey_thanks"]
