"""Changes to the rules, one at a time: what they change, and that they change nothing else."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from acd.rules.edit import Edit, add_member, move, no_queue, remove_member, remove_queue, set_queue
from acd.rules.model import DEFAULT, Member
from acd.rules.text import Rulebook, RulesError

BOOK = Rulebook(
    queues={DEFAULT: {"ring_time": 9.0}, "tax": {"priority": 1, "ring_time": 7.0}},
    members=(Member("1001", DEFAULT), Member("1001", "tax", 2), Member("1002", "tax")),
    skills={"1001": {"en": 1}},
    priority_step=5.0,
)


def test_a_queue_is_set_field_by_field() -> None:
    changed = set_queue("tax", {"priority": 2, "reserve": 1}, ["ring_time", "together"])(BOOK)
    assert changed == replace(
        BOOK, queues={DEFAULT: {"ring_time": 9.0}, "tax": {"priority": 2, "reserve": 1}}
    )
    assert BOOK.queues["tax"] == {"priority": 1, "ring_time": 7.0}, "the old rules stay as they are"


def test_a_new_name_is_a_new_queue() -> None:
    assert set_queue("night", {})(BOOK) == replace(BOOK, queues={**BOOK.queues, "night": {}})
    assert set_queue("night", {"reserve": 1})(BOOK).queues["night"] == {"reserve": 1}


def test_what_is_given_and_dropped_at_once_is_dropped() -> None:
    assert set_queue("tax", {"priority": 2}, ["priority"])(BOOK).queues["tax"] == {"ring_time": 7.0}


def test_a_queue_goes_with_its_members() -> None:
    assert remove_queue("tax")(BOOK) == replace(
        BOOK, queues={DEFAULT: {"ring_time": 9.0}}, members=(Member("1001", DEFAULT),)
    )


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda: remove_queue("night"), "there is no queue night: there is default, tax"),
        (lambda: remove_queue(DEFAULT), "the queue default cannot be removed: every centre has it"),
        (lambda: remove_member("1002", DEFAULT), "agent 1002 is no member of queue default"),
        (lambda: remove_member("1003", "tax"), "agent 1003 is no member of queue tax"),
    ],
)
def test_what_is_not_there_cannot_be_removed(edit: Callable[[], Edit], said: str) -> None:
    with pytest.raises(RulesError) as error:
        edit()(BOOK)
    assert error.value.problems == (said,)
    assert no_queue("night", BOOK) == "there is no queue night: there is default, tax"


def test_members_stay_in_order() -> None:
    assert add_member(Member("1000", "tax", 1))(BOOK).members == (
        *(Member("1001", DEFAULT), Member("1000", "tax", 1)),
        *(Member("1001", "tax", 2), Member("1002", "tax")),
    )


def test_a_member_gets_another_penalty() -> None:
    changed = add_member(Member("1001", "tax", 5))(BOOK)
    assert changed == replace(
        BOOK, members=(Member("1001", DEFAULT), Member("1001", "tax", 5), Member("1002", "tax"))
    )


def test_one_member_is_removed_and_no_other() -> None:
    assert remove_member("1001", "tax")(BOOK) == replace(
        BOOK, members=(Member("1001", DEFAULT), Member("1002", "tax"))
    )


def test_an_agent_moves() -> None:
    assert move("1001", {"tax": 4, "night": 1})(BOOK) == replace(
        BOOK,
        members=(Member("1001", "night", 1), Member("1001", "tax", 4), Member("1002", "tax")),
    )
    assert move("1001", {})(BOOK).members == (Member("1002", "tax"),)
