"""The keys that pause a recording: the agent hears the truth, and only when it is known."""

import pytest

from ivr.recording import serve_recording

CHANNEL = "PJSIP/1001-0000000a"


class Line:
    """A connection that notes what it is asked to do."""

    def __init__(self) -> None:
        self.did: list[tuple[str, ...]] = []

    async def ask(self, *words: str, limit: float | None = None) -> None:
        self.did.append(words)

    async def play(self, sound: str, seconds: float = 0.0) -> None:
        self.did.append(("play", sound))


async def press(action: str, answer: str | None, channel: str = CHANNEL) -> list[tuple[str, ...]]:
    line, asked = Line(), []

    async def record(agent: str, wanted: str) -> str:
        asked.append((agent, wanted))
        assert line.did == [], "nothing is said before it is done"
        if answer is None:
            raise RuntimeError("broken")
        return answer

    environment = {"agi_arg_1": action, "agi_channel": channel}
    await serve_recording(line, environment, record=record)  # type: ignore[arg-type]
    assert asked in ([], [("1001", action)])
    return [*line.did, *asked]


@pytest.mark.parametrize(("action", "hertz"), [("pause", "620"), ("resume", "950")])
async def test_tones_for_what_is_done(action: str, hertz: str) -> None:
    tones, wait, stop, asked = await press(action, "")
    assert tones[0] == "EXEC Playtones"
    assert hertz in tones[1]
    assert float(wait[1]) < 0.5, "for so long the citizen hears nobody"
    assert stop[0] == "EXEC StopPlaytones"
    assert asked == ("1001", action)


@pytest.mark.parametrize("answer", ["not allowed", None])
async def test_a_sentence_for_what_is_not(
    answer: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await press("pause", answer) == [
        ("play", "hotline/agent_refused"),
        ("1001", "pause"),
    ]


@pytest.mark.parametrize(
    ("action", "channel"),
    [("erase", CHANNEL), ("pause", "PJSIP/trunk-0000000a"), ("pause", "Local/1001@x-1;1")],
)
async def test_nobody_is_asked_for_anything_else(action: str, channel: str) -> None:
    assert await press(action, "", channel) == [("play", "hotline/agent_refused")]
