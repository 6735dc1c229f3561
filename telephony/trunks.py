"""The operator's trunks while the centre runs: which are there, and by which of them a call leaves.

Asterisk tells of each trunk whether it answers when it is asked (OPTIONS; AMI `ContactStatus`) and whether its
registration holds (AMI `Registry`). A call takes the first trunk in the order of `trunks.toml` that is there; those
that carry the number which it shows go before the others. If none is there all are tried, for what is known may be old.

**A trunk that has just died** says nothing, and Asterisk would wait 32 s for it. So if a leg is silent for
`SILENT_FOR`, Asterisk asks the trunk at once. If it does not answer that either, the leg is hung up, and the next
trunk's turn comes. A trunk that answers may take its time: a mobile phone is often silent for ten seconds.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import structlog

from base.background import spawn
from base.trunks import Trunk
from facts.endpoints import OUTBOUND, watch, way_out
from facts.terms import CallId
from telephony import actions
from telephony.channels import REGISTRY_EVENT, Calls, Message
from telephony.link import LinkError
from telephony.switch import Actions, contacts_of

log = structlog.get_logger(__name__)

MOST_WAYS = 3
"""By how many trunks one call tries to leave."""

SILENT_FOR = 3.0
"""Seconds without a sign of life after which the trunk of a leg is asked whether it is there."""

ANSWERS_WITHIN = 4.0
"""Seconds in which Asterisk knows whether it answered: `qualify_timeout`, and a little."""

_LOOK_EVERY = 0.1
_REGISTRATIONS_END = "OutboundRegistrationDetailComplete"


class TrunkState(StrEnum):
    """What is known of a trunk. `REFUSED`: it answers, but does not register us: the user or the password is wrong."""

    UNKNOWN = "unknown"
    UP = "up"
    AWAY = "away"
    UNREGISTERED = "unregistered"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Way:
    """A way out: the trunk's name (empty for `HOTLINE_OUTBOUND`), its endpoint, and the number that calls show there.

    `shows` is empty where they show what they would anyway.
    """

    name: str
    endpoint: str
    shows: str = ""


@dataclass(slots=True)
class _LastHeard:
    """`answers`: to OPTIONS, None when that is not known. `registration`: Asterisk's word for it, or empty."""

    answers: bool | None = None
    registration: str = ""


class Trunks:
    """The trunks of one node. `calls` reads the messages of `link`. `unnamed`: there is a `HOTLINE_OUTBOUND`, too."""

    def __init__(
        self, link: Actions, calls: Calls, trunks: Sequence[Trunk], *, unnamed: bool
    ) -> None:
        self._link = link
        self._calls = calls
        self._unnamed = unnamed
        self._trunks: dict[str, Trunk] = {}
        self._known: dict[str, _LastHeard] = {}
        self._watches: dict[str, str] = {}
        self.follow(trunks)
        self._listening: dict[CallId, asyncio.Task[None]] = {}
        self._cut: set[CallId] = set()

    def follow(self, trunks: Sequence[Trunk]) -> None:
        """These are the trunks from now on. What is known of one that stays as it was stays known."""
        before, known = self._trunks, self._known
        self._trunks = {trunk.name: trunk for trunk in trunks}
        self._known = {
            name: known[name] if before.get(name) == trunk else _LastHeard()
            for name, trunk in self._trunks.items()
        }
        self._watches = {watch(name): name for name in self._trunks}

    def states(self) -> dict[str, TrunkState]:
        """What is known of each trunk, in their order."""
        return {name: self._state(trunk) for name, trunk in self._trunks.items()}

    def ways(self, number: str) -> list[Way]:
        """The ways out of a call that shows this number of the hotline's: the first is taken, the others follow."""
        trunks = sorted(self._trunks.values(), key=lambda trunk: not trunk.carries(number))
        fine = (TrunkState.UNKNOWN, TrunkState.UP)
        chosen = [trunk for trunk in trunks if self._state(trunk) in fine]
        if not chosen and not self._unnamed:
            chosen = trunks
        found = [Way(trunk.name, way_out(trunk.name), _shown(trunk, number)) for trunk in chosen]
        if self._unnamed or not found:
            found.append(Way("", OUTBOUND))
        return found[:MOST_WAYS]

    # --- one leg

    def begins(self, call: CallId, way: Way) -> None:
        """The call tries to leave by this way, and others are left."""
        self._cut.discard(call)
        trunk = self._trunks.get(way.name)
        if trunk is not None and trunk.watch:
            self._listening[call] = spawn(self._listen(call, trunk.name), "way out")

    def over(self, call: CallId) -> bool:
        """That leg is over. Returns whether it was hung up here, because the trunk had died."""
        if (listening := self._listening.pop(call, None)) is not None:
            listening.cancel()
        cut = call in self._cut
        self._cut.discard(call)
        return cut

    async def _listen(self, call: CallId, name: str) -> None:
        await asyncio.sleep(SILENT_FOR)
        if not self._calls.unheard(call):
            return
        loop = asyncio.get_running_loop()
        known = self._known.get(name)
        if known is None:
            return  # it was taken out of the file meanwhile
        try:
            await self._link.act({"Action": "PJSIPQualify", "Endpoint": watch(name)})
            deadline = loop.time() + ANSWERS_WITHIN
            while known.answers is not False:
                if loop.time() > deadline:
                    return
                await asyncio.sleep(_LOOK_EVERY)
            if channel := self._calls.unheard(call):
                self._cut.add(call)
                hang_up = actions.hang_up(channel)
                await self._link.act(hang_up)
        except LinkError as error:
            log.warning("trunk.not_asked", trunk=name, call_id=call, error=str(error))

    # --- what Asterisk tells

    def read(self, message: Message) -> None:
        """Take one event of AMI; one that is not about a trunk changes nothing."""
        kind = message.get("Event")
        if kind == REGISTRY_EVENT:
            for name, trunk in self._trunks.items():
                if trunk.registered and message.get("Username") == trunk.account:
                    self._tell(name, registration=message.get("Status", ""))
        elif kind == "ContactStatus":
            name = self._watches.get(message.get("EndpointName", ""), "")
            answers = _ANSWERS.get(message.get("ContactStatus", ""))
            if name and answers is not None:
                back = answers and self._known[name].answers is False
                self._tell(name, answers=answers)
                if back and self._state(self._trunks[name]) is not TrunkState.UP:
                    spawn(self._register(name), "trunk registers")

    async def look(self) -> None:
        """Ask Asterisk for the state of every trunk: at the start of a link, and now and then. Raises `LinkError`."""
        for name, trunk in self._trunks.items():
            if not trunk.watch:
                continue
            for contact in await contacts_of(self._link, watch(name)):
                answers = _ANSWERS.get(contact.get("Status", ""))
                if answers is not None:
                    self._tell(name, answers=answers)
        if any(trunk.registered for trunk in self._trunks.values()):
            entries = await self._link.gather(
                {"Action": "PJSIPShowRegistrationsOutbound"}, _REGISTRATIONS_END
            )
            status = {
                entry.get("ObjectName", ""): entry.get("Status", "")
                for entry in entries
                if entry.get("Event") == "OutboundRegistrationDetail"
            }
            for name in self._trunks:
                if found := status.get(way_out(name)):
                    self._tell(name, registration=found)

    async def _register(self, name: str) -> None:
        """The trunk is there again: do not wait for the minute after which Asterisk would try."""
        try:
            await self._link.act({"Action": "PJSIPRegister", "Registration": way_out(name)})
        except LinkError as error:
            log.warning("trunk.not_registered", trunk=name, error=str(error))

    def _tell(
        self, name: str, *, answers: bool | None = None, registration: str | None = None
    ) -> None:
        if name not in self._trunks:
            return  # it was taken out of the file while Asterisk was asked
        known, before = self._known[name], self._state(self._trunks[name])
        if answers is not None:
            known.answers = answers
        if registration is not None:
            known.registration = registration
        if (now := self._state(self._trunks[name])) is not before:
            log.warning("trunk.changed", trunk=name, state=now.value, before=before.value)

    def _state(self, trunk: Trunk) -> TrunkState:
        known = self._known[trunk.name]
        if known.answers is False:
            return TrunkState.AWAY
        if trunk.registered and known.registration not in ("", "Registered"):
            # Asterisk says Rejected of an operator that says nothing, too.
            refused = known.registration == "Rejected" and known.answers
            return TrunkState.REFUSED if refused else TrunkState.UNREGISTERED
        known_up = known.answers or known.registration == "Registered"
        return TrunkState.UP if known_up else TrunkState.UNKNOWN


_ANSWERS: Mapping[str, bool] = {"Reachable": True, "Unreachable": False}


def _shown(trunk: Trunk, number: str) -> str:
    """The number that calls show on this trunk: empty where it does not matter to the operator."""
    if not trunk.numbers:
        return ""
    return number if number in trunk.numbers else trunk.numbers[0]
