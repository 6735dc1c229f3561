"""The keys that bring others into a talk: the agent hears the truth, and a number is digits and nothing else."""

from types import SimpleNamespace

import pytest

from ivr.bring_in import LONGEST, WANTED, serve_bring_in

CHANNEL = "PJSIP/1001-0000000a"


class Line:
    """A connection on which the agent dials `keys`; the end of them is a pause."""

    def __init__(self, keys: str = "") -> None:
        self.did: list[str] = []
        self.keys = list(keys)

    async def ask(self, *words: str, limit: float | None = None) -> SimpleNamespace:
        self.did.append(" ".join(words))
        if words[0] != "WAIT FOR DIGIT":
            return SimpleNamespace(result="0")
        return SimpleNamespace(result=str(ord(self.keys.pop(0))) if self.keys else "0")

    async def play(self, sound: str, seconds: float = 0.0) -> None:
        self.did.append(sound)


async def press(
    action: str, *answers: str | None, keys: str = "", channel: str = CHANNEL
) -> tuple[list[str], list[tuple[str, str, str]]]:
    line, asked, left = Line(keys), [], list(answers)

    async def by_key(agent: str, wanted: str, number: str) -> str:
        asked.append((agent, wanted, number))
        answer = left.pop(0)
        if answer is None:
            raise RuntimeError("broken")
        return answer

    environment = {"agi_arg_1": action, "agi_channel": channel}
    await serve_bring_in(line, environment, by_key=by_key)  # type: ignore[arg-type]
    return line.did, asked


async def test_a_number_is_asked_for_and_ends_with_a_hash() -> None:
    did, asked = await press("add", WANTED, "", keys="10*02#7")
    assert asked == [("1001", "add", ""), ("1001", "add", "1002")]
    assert did[0].startswith("EXEC Playtones 425")
    assert "620" in did[-3]
    assert did[-1].startswith("EXEC StopPlaytones")


async def test_a_star_before_the_number_begins_a_consultation() -> None:
    did, asked = await press("add", WANTED, "", keys="*1002#")
    assert asked == [("1001", "add", ""), ("1001", "consult", "1002")]
    assert "620" in did[-3]
    did, asked = await press("add", WANTED, keys="*#")
    assert asked == [("1001", "add", "")]
    assert did[-1] == "hotline/agent_refused"


async def test_a_pause_ends_the_number_too_and_it_has_a_greatest_length() -> None:
    _, asked = await press("add", WANTED, "", keys="1002")
    assert asked[-1] == ("1001", "add", "1002")
    _, asked = await press("add", WANTED, "", keys="1" * 40)
    assert asked[-1] == ("1001", "add", "1" * LONGEST)


async def test_without_a_number_nobody_is_called() -> None:
    did, asked = await press("add", WANTED)
    assert asked == [("1001", "add", "")]
    assert did[-1] == "hotline/agent_refused"


@pytest.mark.parametrize("action", ["add", "drop", "120"])
async def test_what_is_done_at_once_needs_no_number(action: str) -> None:
    did, asked = await press(action, "")
    assert asked == [("1001", action, "")]
    assert "620" in did[0]


@pytest.mark.parametrize("answer", ["nobody is free", None])
async def test_a_sentence_for_what_is_not_done(answer: str | None) -> None:
    did, _ = await press("drop", answer)
    assert did == ["hotline/agent_refused"]


@pytest.mark.parametrize(
    ("action", "channel"), [("rm", CHANNEL), ("", CHANNEL), ("add", "PJSIP/trunk-0000000a")]
)
async def test_what_is_no_key_of_an_agent_asks_for_nothing(action: str, channel: str) -> None:
    did, asked = await press(action, channel=channel)
    assert asked == []
    assert did == ["hotline/agent_refused"]
