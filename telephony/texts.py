"""Texts on the displays of agents' phones: SIP MESSAGE (RFC 3428), and what the phone answered.

Asterisk sends the text and tells nobody what came back. The copies of SIP messages (`telephony.hep`) show it: the
request bears a mark of ours, and the answer has its Call-ID.
"""

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from itertools import count
from typing import Final

import structlog

from base.bounded import remember
from facts.numbers import AGENT_NUMBER
from telephony.link import LinkError
from telephony.refused import Copy, parsed
from telephony.switch import Actions

log = structlog.get_logger(__name__)

ANSWERS_WITHIN: Final = 5.0
"""Seconds for which a phone's answer is waited for."""
MARK: Final = "X-Hotline-Text"
"""The header by which a request is known again."""
_OPEN: Final = 1000


class Display(Enum):
    """What became of a text."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """The phone does not take texts (405), or Asterisk did not send it."""
    SILENT = "silent"
    """Nothing came back."""
    UNKNOWN = "unknown"
    """Nobody could hear what came back."""


class PhoneTexts:
    """Sends texts, and hears what the phones answer. `listen`: have answers be heard for so many seconds; whether."""

    def __init__(self, link: Actions, listen: Callable[[float], bool]) -> None:
        self._link = link
        self._listen = listen
        self._marks = count(1)
        self._asked: dict[str, asyncio.Future[int]] = {}
        self._calls: OrderedDict[str, str] = OrderedDict()

    async def show(self, agent: str, text: str) -> Display:
        """Show this on the agent's phone. Returns with the phone's answer, at the latest after `ANSWERS_WITHIN`."""
        if not AGENT_NUMBER.fullmatch(agent):
            return Display.REFUSED
        mark = str(next(self._marks))
        answer = self._asked[mark] = asyncio.get_running_loop().create_future()
        heard = self._listen(ANSWERS_WITHIN + 1)
        try:
            await self._link.act(
                {
                    "Action": "MessageSend",
                    "Destination": f"pjsip:{agent}",
                    "From": "<sip:hotline@hotline>",
                    "Base64Body": base64.b64encode(text.encode()).decode(),
                    "Variable": f"{MARK}={mark}",
                }
            )
            if not heard:
                return Display.UNKNOWN
            async with asyncio.timeout(ANSWERS_WITHIN):
                status = await answer
        except LinkError as error:
            log.info("text.not_sent", agent=agent, error=str(error))
            return Display.REFUSED
        except TimeoutError:
            return Display.SILENT
        finally:
            del self._asked[mark]
        log.info("text.answered", agent=agent, status=status)
        return Display.ACCEPTED if status < 300 else Display.REFUSED

    def copied(self, copy: Copy) -> None:
        """Asterisk has received or sent a SIP message."""
        if not self._asked:
            return
        answers = copy.text.startswith(b"SIP/2.0 ")
        if not answers and not copy.text.startswith(b"MESSAGE "):
            return
        headers = parsed(copy.text)[1]
        call = headers.get("call-id", "")
        if not answers:
            if (mark := headers.get(MARK.lower(), "")) in self._asked:
                remember(self._calls, call, mark, _OPEN)
            return
        mark = self._calls.get(call, "")
        found, status = self._asked.get(mark), copy.text[8:11]
        if found is not None and not found.done() and status.isdigit() and int(status) >= 200:
            found.set_result(int(status))
