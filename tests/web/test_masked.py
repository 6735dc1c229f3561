"""What a guest, and a webhook that may not have everything, sees: no numbers and no names."""

from dataclasses import fields
from typing import Any

import pytest

from facts import (
    AgentPaused,
    CallArrived,
    CallbackAdded,
    CallbackCancelled,
    CallSentOutside,
    DialRefused,
    Fact,
    RecordingMissing,
    RecordingPaused,
    SurveyLinked,
)
from facts.record import KINDS, as_json
from facts.terms import PauseWhy
from web.accounts.rights import (
    OF_ROLE,
    Role,
    granted,
    masked_agents,
    masked_fact,
    masked_part,
    masked_state,
)

CITIZEN, HIDDEN = "+8613812345678", "+86****5678"
CALL = "hotline-1763731200.1"


@pytest.mark.parametrize(
    ("fact", "shown"),
    [
        (CallArrived(1, CALL, "12345", CITIZEN), {"number": "12345", "caller": HIDDEN}),
        (CallSentOutside(1, CALL, CITIZEN), {"number": HIDDEN}),
        (DialRefused(1, CALL, CITIZEN, "lost", "loop"), {"number": HIDDEN, "why": "loop"}),
        (
            CallbackAdded(1, 7, CITIZEN, "default", 2, 3, reason="王芳问低保", matter="低保 12"),
            {"number": HIDDEN, "reason": "", "matter": "", "queue": "default"},
        ),
        (CallbackCancelled(1, 7, "王芳 called"), {"why": "", "callback": 7}),
        (AgentPaused(1, "1001", "ask 13812345678"), {"reason": "ask ****", "agent": "1001"}),
        (RecordingPaused(1, CALL, "1001", PauseWhy.API, "li"), {"by": "", "why": "api"}),
        (
            SurveyLinked(1, CALL, "1001", CITIZEN, "token", 2),
            {"caller": HIDDEN, "token": "", "until": 2},
        ),
        (RecordingMissing(1, CALL, "13812345678 s"), {"why": "**** s", "call": CALL}),
    ],
    ids=lambda one: one.kind if hasattr(one, "kind") else "",
)
def test_what_is_shown(fact: Fact, shown: dict[str, object]) -> None:
    whole = as_json(fact)
    assert masked_fact(whole) == whole | shown
    assert as_json(fact) == whole


def test_no_fact_gives_a_number_away() -> None:
    """A field `number` is a citizen's, unless it is the hotline's own, which the citizen called."""
    kinds = [kind for kind in KINDS.values() if "number" in {one.name for one in fields(kind)}]
    assert len(kinds) >= 4
    for kind in kinds:
        fact = {"kind": kind.kind, "number": CITIZEN}
        assert (masked_fact(fact)["number"] == HIDDEN) is (kind is not CallArrived)


def test_numbers_are_hidden_however_deep_they_are() -> None:
    part: dict[str, Any] = {
        "longest": {"caller": CITIZEN, "queue": "default", "next": [{"caller": CITIZEN}, 7]},
        "caller": 5,
        "number": "12345",
    }
    assert masked_part(part) == {
        "longest": {"caller": HIDDEN, "queue": "default", "next": [{"caller": HIDDEN}, 7]},
        "caller": 5,
        "number": "12345",
    }
    assert part["longest"]["caller"] == CITIZEN


def test_agents_are_shown_without_their_names() -> None:
    agent: Any = {"number": "1001", "name": "王芳", "state": "ready"}
    shown: Any = [{**agent, "name": "王*"}]
    assert masked_agents([agent]) == shown
    state: Any = {"agents": [agent], "waiting": [{"caller": CITIZEN}]}
    assert masked_state(state) == {"agents": shown, "waiting": [{"caller": HIDDEN}]}
    assert agent["name"] == "王芳"


def test_what_a_token_may_do() -> None:
    guest, administrator = OF_ROLE[Role.GUEST], OF_ROLE[Role.ADMINISTRATOR]
    assert granted(Role.GUEST, administrator) == guest
    assert granted(Role.ADMINISTRATOR, administrator) == administrator
    assert granted(Role.ADMINISTRATOR, ()) == frozenset()
    assert granted(Role.ADMINISTRATOR, ["agents.write"]) == {"agents.write", "agents.own"}
    assert granted(Role.GUEST, ["agents.write"]) == frozenset()
