"""A scripted Asterisk, for more calls than a real one can carry beside its callers: the controller is the real one.

It plays one call again and again. What Asterisk tells of it, in which order and with which pauses, was recorded from a
real one (`call.jsonl`; the parts: the caller `arrives`, an agent is `dialled`, has `answered`, `hangs_up`, and the
caller is `gone`). AGI goes as the controller commands: a prompt lasts as long as the bench's, or until the next one.

Simulated is all that Asterisk does by itself: SIP, sound, dialplan, recordings, CEL. Of the copies of SIP messages
there are the two INVITEs: the kernel keeps the others from the controller (`telephony.hep`).
"""

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from base.background import spawn
from bench.side import ANSWER_PAUSE, NUMBER, PROMPT

RINGS: Final = 0.05
"""Seconds for which a phone rings, as the bench's phones do."""
_ADDRESS: Final = "127.0.0.1"
_INVITE: Final = (
    "INVITE sip:{to}@127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK{call}\r\n"
    "From: <sip:{caller}@127.0.0.1:5070>;tag=a\r\nTo: <sip:{to}@127.0.0.1:5060>\r\nCall-ID: {call}\r\n"
    "CSeq: 1 INVITE\r\nContact: <sip:{caller}@127.0.0.1:5070>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


@dataclass(slots=True)
class Counted:
    """Since `began`: the seconds of each gap between two talks of an agent, and how many talks were over."""

    began: float = field(default_factory=time.perf_counter)
    gaps: list[float] = field(default_factory=list)
    talks: int = 0


class Exchange:
    """Answers one controller's AMI, and lets callers call it by AGI and HEP at `controller`, an address and a port.

    `agents` are registered. `talk` gives the seconds of the next talk. `counted` may be replaced at any time. `waiting`
    callers hear music, and `lost` ones were left by the controller without a talk. `greets`: the dialplan plays the
    prompts, as it does before the bare loop.
    """

    def __init__(
        self,
        controller: tuple[str, int],
        agents: Sequence[str],
        talk: Callable[[], float],
        *,
        agi_secret: str,
        hep_secret: str,
        greets: bool = False,
    ) -> None:
        self.counted = Counted()
        self.waiting = self.talking = self.lost = 0
        self._controller = controller
        self._agents = agents
        self._talk = talk
        self._agi_secret = agi_secret
        self._hep_secret = hep_secret.encode()
        self._pause = ANSWER_PAUSE + (2 * PROMPT if greets else 0)
        self._script = read_script()
        self._callers: set[asyncio.Task[None]] = set()
        self._number = 0
        self._freed: dict[str, float] = {}
        self._began = int(time.time())
        self._listeners: list[asyncio.StreamWriter] = []
        self._copies = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    @contextlib.asynccontextmanager
    async def listen(self, port: int) -> AsyncIterator[Self]:
        """Be there at this port of AMI; all calls end with it."""
        server = await asyncio.start_server(self._manage, _ADDRESS, port)
        try:
            yield self
        finally:
            callers = list(self._callers)
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
            server.close()
            for writer in self._listeners:
                writer.transport.abort()
            self._copies.close()

    def call(self, again: bool = True) -> None:
        """Let a citizen call. With `again`, another one does as soon as this call is over."""
        self._number += 1
        caller = spawn(self._call(self._number), "scripted call")
        self._callers.add(caller)

        def over(task: asyncio.Task[None]) -> None:
            self._callers.discard(task)
            if again and not task.cancelled():
                self.call()

        caller.add_done_callback(over)

    # --- AMI

    async def _manage(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(b"Asterisk Call Manager/11.0.0\r\n")
            while True:
                block = (await reader.readuntil(b"\r\n\r\n")).decode()
                action = dict(line.split(": ", 1) for line in block.strip().split("\r\n"))
                writer.write(self._answer(action))
                if action["Action"] == "Login":
                    self._listeners.append(writer)

    def _answer(self, action: Mapping[str, str]) -> bytes:
        tag = {"ActionID": action["ActionID"]} if "ActionID" in action else {}
        answers: list[dict[str, str]] = [{"Response": "Success", **tag}]
        if action["Action"] == "Login":
            answers.append({"Event": "FullyBooted", "Privilege": "system,all"})
        elif action["Action"] == "PJSIPShowContacts":
            answers += [
                {
                    "Event": "ContactList",
                    **tag,
                    "Endpoint": agent,
                    "Uri": f"sip:{agent}@{_ADDRESS}:5070",
                    "Status": "NonQualified",
                }
                for agent in self._agents
            ]
            answers.append({"Event": "ContactListComplete", **tag})
        elif action["Action"] == "Status":
            answers.append({"Event": "StatusComplete", **tag})
        elif action["Action"] == "Getvar":
            # Of a talk: its sound, as many packets as a phone has sent that never falls silent.
            packets = round(time.time() - self._began) * 50
            answers[0] |= {
                "Variable": action["Variable"],
                "Value": f"rxcount={packets};rxjitter=0.0",
            }
        elif action["Action"].startswith("PJSIPShow"):
            ends = {"PJSIPShowEndpoint": "EndpointDetailComplete"}
            end = ends.get(action["Action"], "OutboundRegistrationDetailComplete")
            answers.append({"Event": end, **tag})
        return b"".join(_message(answer) for answer in answers)

    async def _tell(self, part: str, places: Mapping[str, str]) -> None:
        """Send the events of one part of the script."""
        for after, event in self._script[part]:
            if after:
                await asyncio.sleep(after)
            stamp = f"\r\nTimestamp: {time.time():.6f}\r\n\r\n"
            text = event
            for name, value in places.items():
                text = text.replace(f"@{{{name}}}", value)
            for writer in self._listeners:
                writer.write((text + stamp).encode())

    # --- one call

    async def _call(self, number: int) -> None:
        places = {
            "CALL": f"hotline-{self._began}.{2 * number}",
            "LEG": f"hotline-{self._began}.{2 * number + 1}",
            "TRUNK": f"{2 * number:08x}",
            "PHONE": f"{2 * number + 1:08x}",
            "CALLER": f"138{number:08}",
        }
        arrived = time.time_ns() // 1000
        self._copy(places, to=NUMBER)
        await self._tell("arrives", places)
        await asyncio.sleep(self._pause)
        reader, writer = await asyncio.open_connection(*self._controller)
        try:
            writer.write(self._environment(places, arrived))
            await self._obey(reader, writer, places)
        finally:
            writer.close()
        await self._tell("gone", places)

    async def _obey(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, places: dict[str, str]
    ) -> None:
        """Do what the controller says, until it closes."""
        talked = waits = False
        line = await reader.readline()
        while line:
            now = time.perf_counter()
            command = line.decode().strip()
            early: bytes | None = None
            if command.startswith("STREAM FILE"):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PROMPT):
                        early = await reader.readline()
                writer.write(b"200 result=0 endpos=4000\n")
            elif "Dial" in command:
                self.waiting -= waits
                waits = False
                talked = await self._dial(command, now, places)
                writer.write(b"200 result=-1\n")
            else:
                if command.startswith("SET MUSIC") and "ON" in command.upper():
                    self.waiting += not waits
                    waits = True
                writer.write(b"200 result=0\n")
            line = await reader.readline() if early is None else early
        self.waiting -= waits
        self.lost += not talked

    async def _dial(self, command: str, now: float, places: dict[str, str]) -> bool:
        agent = places["AGENT"] = command.partition("PJSIP/")[2][:4]
        if (freed := self._freed.pop(agent, None)) is not None:
            self.counted.gaps.append(now - freed)
        self._copy(places, to=agent)
        await self._tell("dialled", places)
        await asyncio.sleep(RINGS)
        await self._tell("answered", places)
        self.talking += 1
        await asyncio.sleep(self._talk())
        self.talking -= 1
        await self._tell("hangs_up", places)
        self._freed[agent] = time.perf_counter()
        self.counted.talks += 1
        return True

    def _environment(self, places: Mapping[str, str], arrived: int) -> bytes:
        values = {
            "network": "yes",
            "network_script": "call",
            "channel": f"PJSIP/trunk-{places['TRUNK']}",
            "uniqueid": places["CALL"],
            "callerid": places["CALLER"],
            "callingpres": "0",
        }
        given = (NUMBER, str(arrived), "", "", "", "", self._agi_secret)
        values |= {f"arg_{index}": value for index, value in enumerate(given, 1)}
        return "".join(f"agi_{name}: {value}\n" for name, value in values.items()).encode() + b"\n"

    def _copy(self, places: Mapping[str, str], to: str) -> None:
        """What res_hep sends of an INVITE (HEP, version 3)."""
        text = _INVITE.format(to=to, call=f"{places['CALL']}-{to}", caller=places["CALLER"])
        now = time.time_ns() // 1000
        chunks = [
            (1, b"\x02"),
            (2, b"\x11"),
            (3, socket.inet_aton(_ADDRESS)),
            (4, socket.inet_aton(_ADDRESS)),
            (7, struct.pack("!H", 5070)),
            (8, struct.pack("!H", 5060)),
            (9, struct.pack("!I", now // 1_000_000)),
            (10, struct.pack("!I", now % 1_000_000)),
            (11, b"\x01"),
            (12, struct.pack("!I", 1)),
            (14, self._hep_secret),
            (17, places["CALL"].encode()),
            (15, text.encode()),
        ]
        body = b"".join(struct.pack("!HHH", 0, kind, 6 + len(data)) + data for kind, data in chunks)
        with contextlib.suppress(ConnectionRefusedError):
            self._copies.sendto(b"HEP3" + struct.pack("!H", 6 + len(body)) + body, self._controller)


def read_script() -> dict[str, list[tuple[float, str]]]:
    """The recorded call: each part → its events, each with the seconds since the last one, as they are sent.

    Its `@{NAME}`s stand for what differs from call to call. The end of the event and its time are missing.
    """
    script: dict[str, list[tuple[float, str]]] = {}
    for line in Path(__file__).with_name("call.jsonl").read_text().splitlines():
        told = json.loads(line)
        text = "\r\n".join(f"{key}: {value}" for key, value in told["event"].items())
        script.setdefault(told["part"], []).append((told["after"], text))
    return script


def _message(headers: Mapping[str, str]) -> bytes:
    return "".join(f"{key}: {value}\r\n" for key, value in headers.items()).encode() + b"\r\n"
