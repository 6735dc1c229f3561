"""Asterisk's gateway protocol (FastAGI) without I/O: bytes in, events out; commands in, bytes out.

No document defines the protocol; this is what Asterisk 22 does (res_agi.c, and tests/live/test_agi.py):

- It connects and sends the *environment*: lines `agi_name: value`, then an empty line.
- It then takes one command a line and answers each with one line: `200 result=N`, `200 result=N (data)`,
  `200 result=N endpos=SAMPLES`, `510 Invalid or unknown command`, `511 Command Not Permitted on a dead channel …`.
  Wrong usage is answered with several lines, from `520-Invalid command syntax. …` to `520 End of proper usage.`
- When the caller hangs up it sends `HANGUP` on a line of its own, before, between or instead of answers.
- It reads a command only when it waits for one: of two commands in one packet it never reads the second. So there is
  one command at a time, with one exception: **a command that arrives during `STREAM FILE` ends the playback at once,
  and the `STREAM FILE` is never answered**, unless it had just ended by itself. `Conversation.send` accounts for both.
- A command line longer than 2047 bytes is cut into two, so `command` refuses it.

Why not panoramisk's or pyst2's server: one silent connection stops panoramisk's event loop for ever, and a `HANGUP`
shifts all its later answers; pyst2 escapes nothing, and its server does not run on Python 3.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

LINE_LIMIT = 16 * 1024
"""Bytes of one line. Asterisk's own longest value has 4 KiB."""
ENVIRONMENT_LIMIT = 64 * 1024
"""Bytes of the whole environment, and of one usage text."""
NAMES_LIMIT = 256
"""Names in one environment: Asterisk sends 22, and at most 128 arguments."""
COMMAND_LIMIT = 2047
"""Bytes of one command line that Asterisk reads as one."""


class ProtocolError(Exception):
    """The other side does not speak AGI. The message says what came instead. Close the connection then."""


class Environment(NamedTuple):
    """What Asterisk says of the call at the beginning: `agi_uniqueid`, `agi_arg_1`, …"""

    values: Mapping[str, str]


class AgiReply(NamedTuple):
    """The answer to a command.

    `code` is 200, 510, 511 or 520. `result` is the word after `result=`, empty unless the code is 200; `-1` is failure
    or hang-up. `data` is the text in parentheses, or all of the text when the code is not 200. `endpos` is the number
    of samples played, for playing commands only.
    """

    code: int
    result: str
    data: str = ""
    endpos: int | None = None


class Hangup(NamedTuple):
    """The caller hung up. The connection stays open, but nothing more can be heard on it."""


Event: TypeAlias = Environment | AgiReply | Hangup


def command(verb: str, *arguments: str) -> bytes:
    """Encode a command with its line end; arguments are quoted, so that each arrives as one word, letter by letter.

    Raises `ValueError` when an argument holds CR, LF or NUL, which would begin a second command, when it is not
    Unicode, or when the line is longer than Asterisk reads.
    """
    line = " ".join([verb, *(_quote(argument) for argument in arguments)])
    if _LINE_END.search(line):
        raise ValueError("an AGI argument must not hold CR, LF or NUL")
    encoded = line.encode() + b"\n"
    if len(encoded) > COMMAND_LIMIT:
        raise ValueError(f"an AGI command has at most {COMMAND_LIMIT} bytes, not {len(encoded)}")
    return encoded


class Conversation:
    """One AGI conversation, from the controller's side. Feed it what arrives; send what it returns.

    After a `ProtocolError` it takes nothing more.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._environment: dict[str, str] | None = {}
        self._environment_size = 0
        self._usage: list[str] | None = None
        self._usage_size = 0
        self._pending = ""
        self._overtaken = False

    @property
    def pending(self) -> str:
        """The command that waits for its answer, or `""`."""
        return self._pending

    def send(self, verb: str, *arguments: str) -> bytes:
        """Encode a command and remember that its answer is due.

        While `STREAM FILE` runs, another command may be sent and ends it, but not a second `STREAM FILE`: an answer
        could belong to either. Raises `ValueError` for that, for a command while any other runs, before the environment
        is complete, and for what `command` refuses. Nothing has been sent then.
        """
        if self._environment is not None:
            raise ValueError("no AGI command before the environment is complete")
        if self._pending and (self._pending != _PLAY or verb == _PLAY):
            raise ValueError(f"AGI command {verb} while {self._pending} runs")
        encoded = command(verb, *arguments)
        self._overtaken = bool(self._pending)
        self._pending = verb
        return encoded

    def receive(self, data: bytes) -> list[Event]:
        """Take what arrived, however it was cut into pieces. Returns the events that are now complete, in order.

        Raises `ProtocolError` and nothing else, for any bytes.
        """
        lines = (self._rest + data).split(b"\n") if self._rest else data.split(b"\n")
        self._rest = lines.pop()
        events: list[Event] = []
        for line in lines:
            if len(line) > LINE_LIMIT:
                raise ProtocolError(f"a line of {len(line)} bytes")
            event = self._line(line[:-1] if line.endswith(b"\r") else line)
            if event is not None:
                events.append(event)
        if len(self._rest) > LINE_LIMIT:
            raise ProtocolError(f"a line of more than {LINE_LIMIT} bytes")
        return events

    def _line(self, line: bytes) -> Event | None:
        text = line.decode(errors="replace")
        if (usage := self._usage) is not None:
            return self._usage_line(usage, text)
        if text == "HANGUP":
            return Hangup()
        if (environment := self._environment) is not None:
            return self._environment_line(environment, text)
        if not self._pending:
            raise ProtocolError(f"an answer to nothing: {_shown(text)}")
        found = _OK.fullmatch(text)
        if found is None:
            return self._refusal(text)
        endpos = found[3]
        if self._overtaken:
            self._overtaken = False
            if endpos is not None:
                return None  # the answer of the interrupted STREAM FILE, which had just ended by itself
        self._pending = ""
        return AgiReply(200, found[1], found[2] or "", None if endpos is None else int(endpos))

    def _environment_line(self, environment: dict[str, str], text: str) -> Event | None:
        if not text:
            self._environment = None
            return Environment(environment)
        name, colon, value = text.partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise ProtocolError(f"no AGI environment: {_shown(text)}")
        self._environment_size += len(text)
        if self._environment_size > ENVIRONMENT_LIMIT or len(environment) >= NAMES_LIMIT:
            raise ProtocolError("an environment that does not end")
        environment[name] = value.removeprefix(" ")
        return None

    def _refusal(self, text: str) -> Event | None:
        found = _REFUSED.fullmatch(text)
        if found is None:
            raise ProtocolError(f"no AGI answer: {_shown(text)}")
        if found[2] == "-":
            self._usage, self._usage_size = [text], len(text)
            return None
        self._pending = ""
        return AgiReply(int(found[1]), "", found[3])

    def _usage_line(self, usage: list[str], text: str) -> Event | None:
        usage.append(text)
        self._usage_size += len(text)
        if self._usage_size > ENVIRONMENT_LIMIT:
            raise ProtocolError("a usage text that does not end")
        if not text.startswith("520 "):
            return None
        self._usage = None
        self._pending = ""
        return AgiReply(520, "", "\n".join(usage))


_PLAY = "STREAM FILE"
_LINE_END = re.compile(r"[\r\n\0]")
_NAME = re.compile(r"agi_[a-z0-9_]{1,60}")
_OK = re.compile(r"200 result=([^ ]*)(?: \((.*)\))?(?: endpos=([0-9]{1,18}))?", re.DOTALL)
_REFUSED = re.compile(r"(5[0-9][0-9])([ -])(.*)", re.DOTALL)


def _quote(argument: str) -> str:
    escaped = argument.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _shown(text: str) -> str:
    """A stranger's line, short and printable, for the log."""
    return ascii(text[:40])
