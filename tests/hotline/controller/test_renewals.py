"""A recording that must be renewed while the link to Asterisk is away is renewed when it is back."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hotline.controller.renewals import Renewals
from telephony.channels import LiveAttempt
from telephony.link import ActionRefused, LinkDown, LinkError, Unknown

CALL = "hotline-1.1"
ATTEMPT = "hotline-c7.1"


class Asterisk:
    """What exists there, what was done, and why nothing can be."""

    def __init__(self, folder: Path) -> None:
        self.done: list[tuple[str, ...]] = []
        self.error: LinkError | None = None
        self.gone: set[str] = set()
        self.agents: dict[str, str] = {}
        self.renewals = Renewals(self, self, folder)
        for call in (CALL, ATTEMPT):
            (folder / f"{call}.raw").touch()

    def attempt(self, call: str) -> LiveAttempt | None:
        if call not in self.agents or call in self.gone:
            return None
        return LiveAttempt(call, 7, "1001", self.agents[call], "", True, True, True)

    def caller_gone(self, call: str) -> bool:
        return call in self.gone

    async def renew_recording(self, call: str, file: Path) -> None:
        self._do("renew", call, file.name)

    async def record_on(self, channel: str, file: Path, before: str = "") -> None:
        self._do("record", channel, file.name, before)

    def _do(self, *what: str) -> None:
        if self.error is not None:
            raise self.error
        self.done.append(what)


@pytest.fixture
def asterisk(tmp_path: Path) -> Asterisk:
    return Asterisk(tmp_path)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_the_link_could_not_carry_is_done_when_it_is_back(asterisk: Asterisk) -> None:
    asterisk.agents[ATTEMPT] = "PJSIP/1001-00000001"
    for error in (LinkDown("away"), Unknown("no answer")):
        asterisk.error = error
        with capture_logs() as logs:
            asterisk.renewals.renew(CALL)
            asterisk.renewals.go_on(ATTEMPT, "PJSIP/1003-00000003", "PJSIP/1002-00000002")
            await settle()
        assert [(one["event"], one["log_level"]) for one in logs] == [
            ("recording.renewed_later", "warning")
        ] * 2
        asterisk.error = None
        asterisk.renewals.caught_up()
        await settle()
        assert asterisk.done == [
            ("renew", CALL, f"{CALL}.raw"),
            ("record", "PJSIP/1001-00000001", f"{ATTEMPT}.raw", ""),
        ]
        asterisk.done.clear()
        asterisk.renewals.caught_up()
        await settle()
        assert asterisk.done == [], "once"


async def test_a_call_that_is_over_meanwhile_is_not_recorded_again(
    asterisk: Asterisk, tmp_path: Path
) -> None:
    asterisk.error = LinkDown("away")
    asterisk.renewals.renew(CALL)
    asterisk.renewals.renew(ATTEMPT)
    asterisk.renewals.renew("hotline-1.9")
    await settle()
    asterisk.error = None
    asterisk.gone = {CALL}
    asterisk.renewals.caught_up()
    await settle()
    assert asterisk.done == [], "gone, no such attempt, put away"


async def test_a_refusal_is_told_and_not_tried_again(asterisk: Asterisk, tmp_path: Path) -> None:
    asterisk.error = ActionRefused("no such channel")
    with capture_logs() as logs:
        asterisk.renewals.renew(CALL)
        await settle()
        (tmp_path / f"{CALL}.raw").unlink()
        asterisk.renewals.go_on(CALL, "PJSIP/1003-00000003", "")
        await settle()
    assert [(one["event"], one["error"]) for one in logs] == [
        ("recording.not_renewed", "no such channel"),
        ("recording.not_renewed", "it is put away"),
    ]
    asterisk.error = None
    asterisk.renewals.caught_up()
    await settle()
    assert asterisk.done == []
