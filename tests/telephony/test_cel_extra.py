"""CEL's JSON: what is absent is as if it were empty, and what cannot be read costs only itself."""

import json
from dataclasses import replace

import pytest

from telephony.cel import CelEvent, _extra, _hangup, complete
from tests.telephony.test_approved import SHAPES, events
from tests.telephony.test_calls import NUMBERS

_EMPTY = {"hangupcause": 0}


def facts(read: list[CelEvent]) -> list[object]:
    return list(complete(read, [], numbers=NUMBERS))


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if events(shape)])
def test_what_is_absent_is_as_if_it_were_empty(shape: str) -> None:
    read = events(shape)
    for n, event in enumerate(read):
        told = _extra(event.extra)
        for key in told:
            without = {name: value for name, value in told.items() if name != key}
            empty = told | {key: _EMPTY.get(key, "")}
            one, other = (
                facts([*read[:n], replace(event, extra=json.dumps(extra)), *read[n + 1 :]])
                for extra in (without, empty)
            )
            assert one == other, f"{n}: {event.kind} without {key}"


@pytest.mark.parametrize(
    ("text", "cause", "source"),
    [
        ('{"hangupcause": 16, "hangupsource": "PJSIP/1001-1"}', 16, "PJSIP/1001-1"),
        ('{"hangupcause": "17"}', 17, ""),
        ('{"hangupsource": "x"}', 0, "x"),
        ('{"hangupcause": "", "hangupsource": "x"}', 0, ""),
        ('{"hangupcause": null, "hangupsource": "x"}', 0, ""),
        ("{}", 0, ""),
        ("[1]", 0, ""),
        ('"16"', 0, ""),
        ("no JSON", 0, ""),
        ("", 0, ""),
    ],
)
def test_cause_and_source(text: str, cause: int, source: str) -> None:
    assert _hangup(text) == (cause, source)
