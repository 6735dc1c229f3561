"""Changes to the rules, as functions from a rulebook to a rulebook: the command line and the screens share them. Pure.

Give one to `acd.rules.book.change`, which checks the new rules as a whole. They raise `RulesError`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeAlias

from acd.rules.model import DEFAULT, Member
from acd.rules.text import Rulebook, RulesError, Setting, in_order

Edit: TypeAlias = Callable[[Rulebook], Rulebook]


def set_queue(name: str, given: Mapping[str, Setting], dropped: Iterable[str] = ()) -> Edit:
    """Set fields of a queue, as `acd.rules.text` reads them; unset those in `dropped`. A new name is a new queue."""
    gone = set(dropped)

    def edit(book: Rulebook) -> Rulebook:
        own = {**book.queues.get(name, {}), **given}
        own = {key: value for key, value in own.items() if key not in gone}
        return replace(book, queues={**book.queues, name: own})

    return edit


def remove_queue(name: str) -> Edit:
    """Remove a queue and its members."""

    def edit(book: Rulebook) -> Rulebook:
        if name not in book.queues:
            raise RulesError([no_queue(name, book)])
        if name == DEFAULT:
            raise RulesError([f"the queue {DEFAULT} cannot be removed: every centre has it"])
        return replace(
            book,
            queues={key: own for key, own in book.queues.items() if key != name},
            members=tuple(member for member in book.members if member.queue != name),
        )

    return edit


def add_member(member: Member) -> Edit:
    """Let an agent serve a queue, or change their penalty in it."""

    def edit(book: Rulebook) -> Rulebook:
        others = (
            one for one in book.members if (one.agent, one.queue) != (member.agent, member.queue)
        )
        return replace(book, members=in_order([*others, member]))

    return edit


def remove_member(agent: str, queue: str) -> Edit:
    """Let an agent serve a queue no longer."""

    def edit(book: Rulebook) -> Rulebook:
        left = tuple(one for one in book.members if (one.agent, one.queue) != (agent, queue))
        if left == book.members:
            raise RulesError([f"agent {agent} is no member of queue {queue}"])
        return replace(book, members=left)

    return edit


def move(agent: str, queues: Mapping[str, int]) -> Edit:
    """Let an agent serve these queues (name → penalty) and no others."""

    def edit(book: Rulebook) -> Rulebook:
        others = (one for one in book.members if one.agent != agent)
        own = (Member(agent, queue, penalty) for queue, penalty in queues.items())
        return replace(book, members=in_order([*others, *own]))

    return edit


def no_queue(name: str, book: Rulebook) -> str:
    """The sentence for a queue that does not exist."""
    return f"there is no queue {name}: there is {', '.join(book.queues)}"
