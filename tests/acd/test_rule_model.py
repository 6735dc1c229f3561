"""What cannot work in rules, sentence by sentence and at the bounds; needs and bonus."""

from dataclasses import replace
from typing import Any

import pytest

from acd.rules.model import (
    DEFAULT,
    HIGHEST_PRIORITY,
    Flag,
    Member,
    Number,
    Queue,
    Rules,
    check,
)
from facts.times import SECOND


def queues(**more: Queue) -> Rules:
    return Rules(queues={DEFAULT: Queue(), **more})


def default(**given: Any) -> Rules:
    return Rules(queues={DEFAULT: Queue(**given), "tax": Queue("tax")})


@pytest.mark.parametrize(
    "rules",
    [
        Rules(),
        default(priority=0),
        default(priority=HIGHEST_PRIORITY),
        default(ring_time=1),
        default(overflow_to="tax", overflow_after=1),
        default(overflow_to="tax", longest_queue=1),
        default(overflow_to="12333", longest_queue=1),
        *(default(callback_key=key) for key in "0123456789*#"),
        Rules(members=(Member("1001", DEFAULT, 0),), flags={"+86138": Flag("+86138", 0)}),
        Rules(flags={"+86138": Flag("+86138", HIGHEST_PRIORITY)}),
        # A chain is no circle.
        queues(
            a=Queue("a", overflow_to="b", overflow_after=1),
            b=Queue("b", overflow_to=DEFAULT, overflow_after=1),
        ),
    ],
)
def test_what_can_work(rules: Rules) -> None:
    assert list(check(rules)) == []


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (Rules(queues={}), ["queue default is missing: every centre has it"]),
        (queues(tax=Queue("text")), ["queue tax: its name is text"]),
        *(
            (default(priority=n), [f"queue default: priority goes from 0 to {HIGHEST_PRIORITY}"])
            for n in (-1, HIGHEST_PRIORITY + 1)
        ),
        (
            default(ring_time=0.999),
            ["queue default: a phone must ring for at least one second"],
        ),
        (
            default(overflow_to="tax"),
            ["queue default: overflow_to needs overflow_after or longest_queue"],
        ),
        (default(overflow_after=1), ["queue default: overflow_after needs overflow_to"]),
        *(
            (default(callback_key=key), ["queue default: callback_key is one key of a telephone"])
            for key in ("x", "X", "10", "A")
        ),
        (
            default(overflow_to=DEFAULT, overflow_after=1),
            ["queue default: its overflow leads back to default"],
        ),
        (
            queues(
                a=Queue("a", overflow_to="b", overflow_after=1),
                b=Queue("b", overflow_to="a", overflow_after=1),
            ),
            ["queue a: its overflow leads back to a", "queue b: its overflow leads back to b"],
        ),
        (
            queues(
                a=Queue("a", overflow_to="b", overflow_after=1),
                b=Queue("b", overflow_to="c", overflow_after=1),
                c=Queue("c", overflow_to="b", overflow_after=1),
            ),
            [
                "queue a: its overflow leads back to b",
                "queue b: its overflow leads back to b",
                "queue c: its overflow leads back to c",
            ],
        ),
        (
            default(overflow_to="nobody", overflow_after=1),
            ["queue default: overflow_to is neither a queue nor a telephone number: nobody"],
        ),
        (
            Rules(numbers={"12346": Number("12346", "tax")}),
            ["number 12346: there is no queue tax"],
        ),
        (Rules(members=(Member("1001", "tax"),)), ["agent 1001: there is no queue tax"]),
        (
            Rules(members=(Member("1001", DEFAULT, -1),)),
            ["agent 1001 in queue default: a penalty is 0 or more"],
        ),
        *(
            (
                Rules(flags={"+8613812345678": Flag("+8613812345678", n)}),
                [f"flag of a caller (5678): priority goes from 0 to {HIGHEST_PRIORITY}"],
            )
            for n in (-1, HIGHEST_PRIORITY + 1)
        ),
    ],
)
def test_what_cannot_work(rules: Rules, said: list[str]) -> None:
    assert list(check(rules)) == said


RULES = Rules(
    queues={DEFAULT: Queue(priority=1), "tax": Queue("tax", skills={"tax": 2, "en": 3})},
    numbers={
        "1": Number("1", "tax", "en"),
        "2": Number("2", language="en"),
        "3": Number("3", language="ru"),
        "4": Number("4"),
    },
    flags={"+86": Flag("+86", 2)},
    priority_step=1.5,
)


@pytest.mark.parametrize(
    ("queue", "number", "needs"),
    [
        ("tax", "", (("en", 3), ("tax", 2))),
        ("tax", "1", (("en", 3), ("tax", 2))),
        (DEFAULT, "1", (("en", 1),)),
        ("tax", "3", (("en", 3), ("ru", 1), ("tax", 2))),
        (DEFAULT, "4", ()),
        (DEFAULT, "9", ()),
        ("nobody", "2", (("en", 1),)),
    ],
)
def test_what_an_agent_must_be_able_to_do(
    queue: str, number: str, needs: tuple[tuple[str, int], ...]
) -> None:
    assert RULES.needs(queue, number) == needs


def test_the_bonus_is_of_queue_and_caller() -> None:
    assert RULES.bonus(DEFAULT, "+86") == round(3 * 1.5 * SECOND)
    assert RULES.bonus(DEFAULT, "+87") == round(1.5 * SECOND)
    assert RULES.bonus(DEFAULT, "") == round(1.5 * SECOND)
    assert RULES.bonus("tax", "+86") == 3 * SECOND
    assert replace(RULES, flags={"": Flag("", 5)}).bonus("tax", "") == 0, "withheld is nobody"


def test_an_unknown_queue_is_the_default_one() -> None:
    assert RULES.queue("nobody") is RULES.queues[DEFAULT]
    assert RULES.queue("tax") is RULES.queues["tax"]
    assert Rules(queues={}).queue("tax") == Queue()
