"""A harassing caller: marked first, then the phrase; the dialplan hangs up, whatever fails here."""

import pytest

from ivr.harassing import serve_harassing


@pytest.mark.parametrize("broken", [False, True])
async def test_the_call_is_marked_and_the_phrase_said(
    broken: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    did: list[str] = []

    class Line:
        async def play(self, sound: str, seconds: float = 0.0) -> None:
            did.append(sound)

    async def marked(channel: str, uniqueid: str) -> None:
        did.append(f"{channel} {uniqueid}")
        if broken:
            raise RuntimeError("broken")

    environment = {"agi_channel": "PJSIP/trunk-1", "agi_uniqueid": "hotline-1.1"}
    await serve_harassing(Line(), environment, marked=marked)  # type: ignore[arg-type]
    assert did == ["PJSIP/trunk-1 hotline-1.1", "hotline/harassment"]
