"""Which trunk a call takes, by what Asterisk tells of each."""

import asyncio
from collections.abc import Mapping

import pytest

from base.trunks import Trunk
from facts import CallbackAnswered, CallbackDialling, CallbackEnded, Fact
from facts.endpoints import endpoint
from telephony import trunks as module
from telephony.channels import Calls, Message
from telephony.trunks import MOST_WAYS, Trunks, TrunkState, Way

CALL = "hotline-1763731200.17"
LEG = "PJSIP/outbound-first-00000002"


def trunk(name: str, user: str = "", numbers: tuple[str, ...] = (), watch: bool = True) -> Trunk:
    return Trunk(
        name=name,
        host="10.0.0.1",
        user=user,
        password="x" if user else "",  # type: ignore[arg-type]
        numbers=numbers,
        watch=watch,
    )


class Asterisk:
    """A link that remembers what was sent, and lists what the test says."""

    def __init__(self, *trunks: Trunk, unnamed: bool = False) -> None:
        self.sent: list[Mapping[str, str]] = []
        self.lists: dict[str, list[Message]] = {}
        self.calls = Calls(("12345",))
        self.trunks = Trunks(self, self.calls, trunks, unnamed=unnamed)

    async def act(self, action: Mapping[str, str], timeout: float = 5.0) -> Message:
        self.sent.append(action)
        return {"Response": "Success"}

    async def gather(
        self, action: Mapping[str, str], until: str, timeout: float = 5.0
    ) -> list[Message]:
        return self.lists.get(action.get("Endpoint", "registrations"), [])

    def contact(self, name: str, status: str) -> None:
        self.trunks.read(
            {"Event": "ContactStatus", "EndpointName": f"watch-{name}", "ContactStatus": status}
        )

    def registry(self, user: str, status: str) -> None:
        self.trunks.read(
            {"Event": "Registry", "Username": f"sip:{user}@10.0.0.1", "Status": status}
        )

    def names(self, number: str = "12345") -> list[str]:
        return [way.name for way in self.trunks.ways(number)]

    def dials(self) -> None:
        """A citizen's call goes out by the first trunk."""
        event = {"Event": "Newchannel", "Privilege": "call,all", "Timestamp": "1795300000.000001"}
        self.calls.read(
            {**event, "Uniqueid": CALL, "Linkedid": CALL, "Channel": "PJSIP/trunk-00000001"}
            | {"Context": "inbound", "Exten": "12345"}
        )
        self.calls.read({**event, "Uniqueid": "x.2", "Linkedid": CALL, "Channel": LEG})

    def tell(self, name: str, **more: str) -> None:
        event = {"Event": name, "Privilege": "call,all", "Timestamp": "1795300000.000002"}
        self.calls.read({**event, "Uniqueid": "x.2", "Channel": LEG, **more})


def test_all_endpoints_of_trunks_are_one() -> None:
    assert endpoint(LEG) == "outbound"
    assert endpoint("PJSIP/trunk-3-0000000a") == "trunk"
    assert endpoint("PJSIP/trunk-0000000a") == "trunk"
    assert endpoint("PJSIP/1001-0000000a") == "1001"
    assert endpoint("Local/trunk@x-1") == ""


def test_a_callback_that_goes_by_a_second_trunk_begins_once() -> None:
    calls, attempt = Calls(("12345",)), "hotline-c7.1"

    def event(name: str, uniqueid: str, channel: str, **more: str) -> list[Fact]:
        message = {"Event": name, "Privilege": "call,all", "Timestamp": "1795300000.000001"}
        about = {"Uniqueid": uniqueid, "Channel": channel, "Linkedid": attempt}
        return calls.read({**message, **about, **more})

    event("Newchannel", attempt, "PJSIP/1001-00000001")
    facts = event("Newstate", attempt, "PJSIP/1001-00000001", ChannelState="6")
    for name, uniqueid in (("first", "x.2"), ("second", "x.3")):
        facts += event("Newchannel", uniqueid, f"PJSIP/outbound-{name}-0000000{uniqueid[2]}")
        if name == "first":
            facts += event("HangupRequest", uniqueid, "PJSIP/outbound-first-00000002")
            facts += event("Hangup", uniqueid, "PJSIP/outbound-first-00000002", Cause="38")
    facts += event("Newstate", "x.3", "PJSIP/outbound-second-00000003", ChannelState="6")
    facts += event("Hangup", attempt, "PJSIP/1001-00000001", Cause="16")
    assert [type(fact) for fact in facts] == [CallbackDialling, CallbackAnswered, CallbackEnded]
    assert isinstance(facts[-1], CallbackEnded)
    assert facts[-1].failure == ""


def test_the_first_trunk_that_is_there_is_taken() -> None:
    asterisk = Asterisk(trunk("a"), trunk("b", user="u"), trunk("c"))
    assert asterisk.names() == ["a", "b", "c"], "nothing is known yet"
    asterisk.contact("a", "Unreachable")
    assert asterisk.names() == ["b", "c"]
    asterisk.registry("u", "Unregistered")
    assert asterisk.names() == ["c"]
    asterisk.registry("u", "Registered")
    assert asterisk.names() == ["b", "c"]
    asterisk.contact("c", "Reachable")
    assert asterisk.trunks.states() == {
        "a": TrunkState.AWAY,
        "b": TrunkState.UP,
        "c": TrunkState.UP,
    }


def test_if_none_is_there_all_are_tried() -> None:
    asterisk = Asterisk(trunk("a"), trunk("b"))
    asterisk.contact("a", "Unreachable")
    asterisk.contact("b", "Unreachable")
    assert asterisk.names() == ["a", "b"]


def test_the_trunk_of_the_number_comes_first_and_each_shows_its_own() -> None:
    asterisk = Asterisk(
        trunk("a", numbers=("8890", "8891")), trunk("b", numbers=("12345",)), trunk("c")
    )
    assert asterisk.trunks.ways("12345") == [
        Way("b", "outbound-b", "12345"),
        Way("c", "outbound-c", ""),
        Way("a", "outbound-a", "8890"),
    ]
    assert asterisk.trunks.ways("8891")[0] == Way("a", "outbound-a", "8891")


def test_the_setting_of_before_is_the_last_way() -> None:
    asterisk = Asterisk(trunk("a"), unnamed=True)
    assert asterisk.trunks.ways("12345") == [Way("a", "outbound-a"), Way("", "outbound")]
    asterisk.contact("a", "Unreachable")
    assert asterisk.trunks.ways("12345") == [Way("", "outbound")]


def test_a_call_does_not_try_for_ever() -> None:
    asterisk = Asterisk(*(trunk(f"t{place}") for place in range(9)))
    assert len(asterisk.names()) == MOST_WAYS


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ("Reachable", TrunkState.REFUSED),
        ("Unreachable", TrunkState.AWAY),
        ("", TrunkState.UNREGISTERED),
    ],
)
def test_a_refused_registration_is_one_whose_operator_answers(
    answers: str, state: TrunkState
) -> None:
    asterisk = Asterisk(trunk("a", user="u"))
    if answers:
        asterisk.contact("a", answers)
    asterisk.registry("u", "Rejected")
    assert asterisk.trunks.states() == {"a": state}


async def test_what_asterisk_lists_makes_up_for_lost_events() -> None:
    asterisk = Asterisk(trunk("a", user="u"), trunk("b"))
    asterisk.lists = {
        "watch-a": [{"Event": "ContactStatusDetail", "Status": "Reachable"}],
        "watch-b": [{"Event": "ContactStatusDetail", "Status": "Unreachable"}],
        "registrations": [
            {"Event": "AuthDetail", "ObjectName": "outbound-a"},
            {"Event": "OutboundRegistrationDetail", "ObjectName": "outbound-a"}
            | {"Status": "Rejected"},
        ],
    }
    await asterisk.trunks.look()
    assert asterisk.trunks.states() == {"a": TrunkState.REFUSED, "b": TrunkState.AWAY}


async def test_a_trunk_that_is_back_registers_at_once() -> None:
    asterisk = Asterisk(trunk("a", user="u"), trunk("b"))
    asterisk.contact("a", "Reachable")
    asterisk.registry("a", "Rejected")
    asterisk.registry("u", "Rejected")
    await asyncio.sleep(0)
    assert asterisk.sent == [], "it was not away"
    for name in "ab":
        asterisk.contact(name, "Unreachable")
        asterisk.contact(name, "Reachable")
    await asyncio.sleep(0.01)
    assert asterisk.sent == [{"Action": "PJSIPRegister", "Registration": "outbound-a"}]


# --- a leg that nobody answers


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_FOR", 0.02)
    monkeypatch.setattr(module, "ANSWERS_WITHIN", 0.2)
    monkeypatch.setattr(module, "_LOOK_EVERY", 0.01)


@pytest.mark.usefixtures("quick")
async def test_a_silent_leg_at_a_dead_trunk_is_hung_up() -> None:
    asterisk = Asterisk(trunk("first"), trunk("second"))
    asterisk.dials()
    asterisk.trunks.begins(CALL, asterisk.trunks.ways("12345")[0])
    await asyncio.sleep(0.06)
    assert asterisk.sent == [{"Action": "PJSIPQualify", "Endpoint": "watch-first"}]
    asterisk.contact("first", "Unreachable")
    await asyncio.sleep(0.05)
    assert asterisk.sent[1:] == [{"Action": "Hangup", "Channel": LEG, "Cause": "16"}]
    assert asterisk.trunks.over(CALL)
    assert not asterisk.trunks.over(CALL), "said once"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("event", "more"),
    [
        ("Newstate", {"ChannelState": "5"}),
        ("Newstate", {"ChannelState": "6"}),
        ("DialState", {"DestUniqueid": "x.2", "DialStatus": "PROGRESS"}),
    ],
)
async def test_a_leg_that_rings_or_speaks_is_left_alone(event: str, more: dict[str, str]) -> None:
    asterisk = Asterisk(trunk("first"), trunk("second"))
    asterisk.dials()
    asterisk.trunks.begins(CALL, asterisk.trunks.ways("12345")[0])
    asterisk.tell(event, **more)
    asterisk.contact("first", "Unreachable")
    await asyncio.sleep(0.06)
    assert asterisk.sent == []
    assert not asterisk.trunks.over(CALL)


@pytest.mark.usefixtures("quick")
async def test_a_trunk_that_answers_may_take_its_time() -> None:
    asterisk = Asterisk(trunk("first"), trunk("second"))
    asterisk.dials()
    asterisk.trunks.begins(CALL, asterisk.trunks.ways("12345")[0])
    await asyncio.sleep(0.35)
    assert [action["Action"] for action in asterisk.sent] == ["PJSIPQualify"]
    assert not asterisk.trunks.over(CALL)


@pytest.mark.usefixtures("quick")
async def test_a_trunk_that_is_not_watched_is_not_asked() -> None:
    asterisk = Asterisk(trunk("first", watch=False), trunk("second"))
    asterisk.dials()
    asterisk.trunks.begins(CALL, asterisk.trunks.ways("12345")[0])
    await asyncio.sleep(0.06)
    assert asterisk.sent == []


async def test_a_trunk_that_stays_as_it_was_stays_known() -> None:
    asterisk = Asterisk(trunk("first"), trunk("second", user="u"), trunk("third"))
    for name in ("first", "second", "third"):
        asterisk.contact(name, "Reachable")
    asterisk.registry("u", "Registered")
    asterisk.trunks.follow([trunk("second", user="u"), trunk("third", numbers=("8890",))])
    assert asterisk.trunks.states() == {"second": TrunkState.UP, "third": TrunkState.UNKNOWN}
    asterisk.contact("first", "Unreachable")
    assert asterisk.names("8890") == ["second", "third"]
    asterisk.trunks.follow([])
    assert asterisk.trunks.ways("12345") == [Way("", endpoint="outbound")]


@pytest.mark.usefixtures("quick")
async def test_the_leg_of_a_trunk_that_was_taken_out_is_left_alone() -> None:
    asterisk = Asterisk(trunk("first"), trunk("second"))
    asterisk.dials()
    asterisk.trunks.begins(CALL, asterisk.trunks.ways("12345")[0])
    asterisk.trunks.follow([trunk("second")])
    await asyncio.sleep(0.06)
    assert asterisk.sent == []
    assert not asterisk.trunks.over(CALL)


async def test_a_trunk_that_is_taken_out_while_asterisk_is_asked() -> None:
    class Slow(Asterisk):
        async def gather(
            self, action: Mapping[str, str], until: str, timeout: float = 5.0
        ) -> list[Message]:
            self.trunks.follow([trunk("second")])
            return [{"Event": "ContactStatusDetail", "Status": "Reachable"}]

    asterisk = Slow(trunk("first"), trunk("second"))
    await asterisk.trunks.look()
    assert asterisk.trunks.states() == {"second": TrunkState.UP}
