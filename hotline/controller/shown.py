"""The live state: made of the figures and the floor, sent to the screens, the exporter and the alarms."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import structlog

from acd.callbacks.task import State, Task
from acd.floor import Caller, Seat
from acd.rules.text import Rulebook
from base import clock
from base.background import within
from facts.live import (
    AgentNow,
    AlarmNow,
    AlertNow,
    CallbacksNow,
    LiveState,
    MoreOfAgent,
    PartyNow,
    SupervisorNow,
    WaitingNow,
)
from facts.terms import CallId
from facts.times import SECOND
from hotline.controller.rows import AgentRows
from metrics.live import LiveFigures

log = structlog.get_logger(__name__)

SHOW_EVERY = 0.5
"""Seconds after which the live state is looked at though no fact came: figures change with time alone, too."""
SHOW_PAUSE = 0.08
"""Seconds at least between two states for the screens: what happens is on them within a tenth of a second."""
SHOW_SHARE = 20
"""Making states takes at most one part in so many of a processor."""


EXPORT_EVERY = SECOND
"""Microseconds between two states for the exporter: nobody asks it more often."""


class Figures(Protocol):
    """What is needed of `metrics.live.Live`."""

    def snapshot(self, now: int) -> LiveFigures:
        """The figures at `now`."""


class Floor(Protocol):
    """What is needed of `acd.floor.Floor`."""

    seats: dict[str, Seat]
    tasks: dict[int, Task]
    callers: dict[CallId, Caller]

    def waiting_since(self) -> int | None:
        """Since when the longest waiting caller waits (microseconds), or None."""


class Shown:
    """Makes the live state.

    `supervision_shown`: agents see that a supervisor is in their talk.
    `export` gets one a second; `show` those that screens should have; `hand_on` goes before.
    """

    def __init__(
        self,
        figures: Figures,
        floor: Floor,
        *,
        names: Mapping[str, str],
        book: Callable[[], Rulebook],
        alarms: Callable[[], Iterable[AlarmNow]],
        paused: Callable[[], Mapping[str, int]] = dict,
        waiting: Callable[[], list[WaitingNow]] = list,
        unread: Callable[[], Mapping[str, int]] = dict,
        parties: Callable[[], Mapping[str, list[PartyNow]]] = dict,
        on_hold: Callable[[], Iterable[str]] = tuple,
        supervision: Callable[[], list[SupervisorNow]] = list,
        supervision_shown: bool = False,
        alerts: Callable[[], list[AlertNow]] = list,
        export: Callable[[LiveState, int], None],
        show: Callable[[LiveState], None],
        hand_on: Callable[[], None],
        news: asyncio.Event,
    ) -> None:
        self._figures = figures
        self._floor = floor
        self._names = names
        self._book = book
        self._alarms = alarms
        self._paused = paused
        self._waiting = waiting
        self._unread = unread
        self._parties = parties
        self._on_hold = on_hold
        self._supervision = supervision
        self._supervision_shown = supervision_shown
        self._alerts = alerts
        self._export = export
        self._show = show
        self._hand_on = hand_on
        self._news = news
        self._rows = AgentRows()
        self._newest: LiveState | None = None
        self._exported = 0

    def newest(self, now: int) -> LiveState:
        """The state that was made last."""
        return self._newest or self.state(now)

    def state(self, now: int) -> LiveState:
        """Everything that screens show at `now` (microseconds)."""
        floor, figures = self._floor, self._figures.snapshot(now)
        supervision = self._supervision()
        agents: list[AgentNow] = self._rows.of(
            *(floor.seats, self._names, self._book()),
            *(self._paused(), self._talk, self._more(supervision)),
        )
        made: LiveState = {
            "at": now,
            "stages": figures["stages"],
            "waiting_since": floor.waiting_since(),
            "today": figures["today"],
            "figures": figures["figures"],
            "curve": figures["curve"],
            "m4": figures["m4"],
            "sla15": figures["sla15"],
            "sla60": figures["sla60"],
            "asa": figures["asa"],
            "abandoned": figures["abandoned"],
            "callbacks": _callbacks(figures["callbacks"], floor.tasks, now),
            "agents": agents,
            "alarms": list(self._alarms()),
            "waiting": self._waiting(),
            "supervision": supervision,
            "alerts": self._alerts(),
        }
        self._newest = made
        if now - self._exported >= EXPORT_EVERY:
            self._exported = now
            self._export(made, now)
        return made

    def _talk(self, seat: Seat) -> tuple[str, str]:
        """The citizen and the queue of what an agent holds; empty where they are not known."""
        if seat.callback:
            task = self._floor.tasks.get(seat.callback)
            return (task.number, task.queue) if task is not None else ("", "")
        caller = self._floor.callers.get(seat.call)
        return (caller.caller, caller.queue) if caller is not None else ("", "")

    def _more(self, supervision: Sequence[SupervisorNow]) -> dict[str, MoreOfAgent]:
        """What shows of few agents beside what their seats show."""
        more: defaultdict[str, MoreOfAgent] = defaultdict(MoreOfAgent)
        for number, message in self._unread().items():
            more[number]["message"] = message
        for number, parties in self._parties().items():
            more[number]["parties"] = parties
        for number in self._on_hold():
            more[number]["held"] = True
        for one in supervision if self._supervision_shown else ():
            if one["state"] == "on":
                more[one["agent"]]["supervised"] = one["mode"]
        return more

    async def run(self) -> None:
        """Show what is new as soon as there is something, but leave time for calls in between."""
        shown: LiveState | None = None
        while True:
            self._news.clear()
            now, took = clock.now(), 0.0
            try:
                self._hand_on()
                began = time.thread_time()  # what facts cost is not what a state costs
                state = self.state(now)
                # Screens take a state that is older than five seconds for stale, so an unchanged one is sent, too.
                if (
                    shown is None
                    or now - shown["at"] > SECOND
                    or {**state, "at": 0} != {**shown, "at": 0}
                ):
                    shown = state
                    self._show(state)
                took = time.thread_time() - began
            except Exception:
                log.exception("state.failed", effect="the screens are behind")
            await asyncio.sleep(min(SHOW_EVERY, max(SHOW_PAUSE, took * SHOW_SHARE)))
            await within(SHOW_EVERY, self._news)


def _callbacks(of_today: CallbacksNow, tasks: Mapping[int, Task], now: int) -> CallbacksNow:
    states = Counter(task.state for task in tasks.values())
    # `due` are those that may be placed now; the others' earliest time, or next attempt, is still to come.
    due = sum(task.state is State.DUE and task.not_before <= now for task in tasks.values())
    return {
        **of_today,
        "open": len(tasks),
        "due": due,
        "dialling": states[State.DIALLING],
        "talking": states[State.TALKING],
    }
