"""Texts on phones: what was answered is told, and nothing counts as shown that was not."""

import asyncio
import base64
from collections.abc import Mapping

import pytest

from telephony import texts
from telephony.channels import Message
from telephony.link import ActionRefused
from telephony.refused import Copy
from telephony.texts import MARK, Display, PhoneTexts

HERE, PHONE = ("192.0.2.1", 5060), ("192.0.2.9", 5060)


class Asterisk:
    """Sends the text, and the phone answers. `status`: with what; 0: not at all."""

    def __init__(self, status: int = 200, *, listens: bool = True) -> None:
        self.status = status
        self.sent: list[Mapping[str, str]] = []
        self.heard: list[float] = []
        self.texts = PhoneTexts(self, self.listen)
        self._listens = listens

    def listen(self, seconds: float) -> bool:
        self.heard.append(seconds)
        return self._listens

    async def act(self, action: Mapping[str, str], timeout: float = 5.0) -> Message:
        self.sent.append(action)
        if self.status == 500:
            raise ActionRefused("Message failed to send.")
        mark = action["Variable"].partition("=")[2]
        call = f"call-{mark}"
        request = f"MESSAGE sip:1001@192.0.2.9 SIP/2.0\r\nCall-ID: {call}\r\n{MARK}: {mark}\r\n\r\n"
        self.texts.copied(Copy(1, HERE, PHONE, request.encode(), call))
        self.answer("another-call", 200)
        if self.status:
            self.answer(call, 100)
            self.answer(call, self.status)
        return {"Response": "Success"}

    async def gather(
        self, action: Mapping[str, str], until: str, timeout: float = 5.0
    ) -> list[Message]:
        raise AssertionError("nothing is listed")

    def answer(self, call: str, status: int) -> None:
        text = f"SIP/2.0 {status} Any\r\nCall-ID: {call}\r\nCSeq: 1 MESSAGE\r\n\r\n"
        self.texts.copied(Copy(2, PHONE, HERE, text.encode(), call))


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (200, Display.ACCEPTED),
        (202, Display.ACCEPTED),
        (405, Display.REFUSED),
        (480, Display.REFUSED),
        (500, Display.REFUSED),
    ],
)
async def test_the_phones_answer_is_told(status: int, shown: Display) -> None:
    asterisk = Asterisk(status)
    assert await asterisk.texts.show("1001", "请看公告\r\nAction: Command") is shown
    [action] = asterisk.sent
    assert action["Destination"] == "pjsip:1001"
    assert base64.b64decode(action["Base64Body"]).decode() == "请看公告\r\nAction: Command"
    assert "\r" not in "".join(action.values())


async def test_a_silent_phone_has_not_shown_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "ANSWERS_WITHIN", 0.05)
    asterisk = Asterisk(0)
    assert await asterisk.texts.show("1001", "x") is Display.SILENT
    assert await Asterisk(listens=False).texts.show("1001", "x") is Display.UNKNOWN


async def test_only_agents_phones_get_texts() -> None:
    asterisk = Asterisk()
    assert await asterisk.texts.show("outbound", "x") is Display.REFUSED
    assert asterisk.sent == []


async def test_two_texts_at_once_have_each_their_own_answer() -> None:
    asterisk = Asterisk(0)
    asking = asyncio.gather(*(asterisk.texts.show(one, "x") for one in ("1001", "1002")))
    await asyncio.sleep(0)
    asterisk.answer("call-2", 405)
    asterisk.answer("call-1", 200)
    assert await asking == [Display.ACCEPTED, Display.REFUSED]
