"""What the reader of AMI keeps of channels that are gone, and that it forgets all else."""

from typing import Any

import pytest

from telephony import channels
from telephony.channels import Calls
from tests.telephony.test_calls import NUMBERS, RECORDED, folded, recorded, told

_BOUNDED = {"_gone", "_linked"}
_CONTACTS = {"_contacts"}
SHAPES = sorted(path.stem for path in RECORDED.glob("*.jsonl"))


def kept(calls: Calls) -> dict[str, Any]:
    """What is kept, by name, without what is bounded and without who is registered."""
    return {
        name: value
        for name, value in vars(calls).items()
        if value and name not in _BOUNDED | _CONTACTS | {"numbers", "talks_on"}
    }


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "snapshot"])
def test_after_a_call_nothing_is_kept_of_it(shape: str) -> None:
    calls = Calls(NUMBERS)
    folded(recorded(shape), calls)
    assert kept(calls) == {}
    assert calls.channels() == frozenset()


def hangup(n: int, at: int = 0) -> dict[str, str]:
    return {
        "Event": "Hangup",
        "Privilege": "call,all",
        "Timestamp": f"{1763731200 + at}.000000",
        "Channel": f"PJSIP/trunk-{n:08x}",
        "Uniqueid": f"hotline-1.{n}",
        "Linkedid": f"hotline-1.{n}",
        "Context": "inbound",
    }


def newchannel(n: int) -> dict[str, str]:
    return {
        **hangup(n),
        "Event": "Newchannel",
        "ChannelState": "6",
        "Exten": "12345",
        "CallerIDNum": "13800138000",
    }


def test_the_newest_channels_that_are_gone_are_remembered_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "_REMEMBERED", 5)
    calls = Calls(NUMBERS)
    folded((hangup(n) for n in range(8)), calls)
    assert list(calls._gone) == [f"hotline-1.{n}" for n in range(3, 8)]
    # A late event of one that is remembered brings nothing back; one that was forgotten is a new call.
    assert told(folded([newchannel(3)], calls)) == []
    assert told(folded([newchannel(2)], calls)) == ["CallArrived #1 12345 +8613800138000"]


def test_the_newest_ids_of_others_are_remembered_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "_REMEMBERED", 5)
    calls = Calls(NUMBERS)
    for n in range(8):
        calls._link(f"hotline-c{n}.1", f"hotline-1.{n}")
    assert calls._linked == {f"hotline-c{n}.1": f"hotline-1.{n}" for n in range(3, 8)}


def test_the_bounds_as_shipped() -> None:
    calls = Calls(NUMBERS)
    for n in range(8193):
        calls._remember(str(n))
        calls._link(str(n), "call")
    assert len(calls._gone) == len(calls._linked) == 8192
    assert "0" not in calls._gone
    assert "8192" in calls._gone


def test_a_snapshot_of_nothing_forgets_everything() -> None:
    """Asterisk was restarted: the same talks, offers and own calls are over, each told once."""
    stream = recorded("attended_transfer")
    for end in range(len(stream)):
        calls = Calls(NUMBERS)
        folded(stream[:end], calls)
        calls.snapshot([], [], 1_800_000_000_000_000)
        assert kept(calls) == {}, end
        assert calls._contacts == {}
        assert calls.snapshot([], [], 1_800_000_001_000_000).facts == ()
