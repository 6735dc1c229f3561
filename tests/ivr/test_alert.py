"""The red button's key: only an agent's, and a tone only when the alert is raised."""

import pytest

from ivr.alert import TONES, serve_alert


class Line:
    """What Asterisk is asked to do."""

    def __init__(self) -> None:
        self.did: list[tuple[str, ...]] = []

    async def ask(self, *words: str) -> None:
        self.did.append(words)

    async def play(self, sound: str) -> None:
        self.did.append(("play", sound))


@pytest.mark.parametrize(
    ("channel", "why", "heard"),
    [
        ("PJSIP/1001-0000000a", "", ("EXEC Playtones", TONES[0])),
        ("PJSIP/1001-0000000a", "agent 1001 is not in a talk", ("play", "hotline/agent_refused")),
        ("PJSIP/trunk-0000000a", "", ("play", "hotline/agent_refused")),
        ("PJSIP/1001-0000000a", "fail", ("play", "hotline/agent_refused")),
    ],
)
async def test_the_agent_hears_what_came_of_it(
    channel: str, why: str, heard: tuple[str, str]
) -> None:
    async def alert(agent: str) -> str:
        assert agent == "1001"
        if why == "fail":
            raise RuntimeError("a fault")
        return why

    line = Line()
    await serve_alert(line, {"agi_channel": channel}, alert=alert)  # type: ignore[arg-type]
    assert line.did[0] == heard
