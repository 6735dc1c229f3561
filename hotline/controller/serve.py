"""The controller: read this first. It puts the parts together and shows how facts and commands flow between them.

    Asterisk ── AMI ──> telephony.link ─> telephony.channels ─┐                       ┌─> diary.writer  (database)
    Asterisk <─ AGI ──> ivr.server ────────────────────────┼─ facts ─> acd.desk ───┼─> metrics.live
    softphones, CLI, screens ── wishes ────────────────────┘        (acd.floor)    └─> base.bus (Redis)
                                                                        │
    ivr.server / telephony.switch <──────────── commands ───────────────┘

After every start, and after every loss of the AMI link, `_catch_up` brings the floor to what exists in Asterisk before
the first offer is made: the diary says what was known, CEL what happened meanwhile, AMI what is there now.
"""

import asyncio
import contextlib
import gc
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks import book as tasks
from acd.callbacks.task import State
from acd.desk import Desk
from acd.floor import Floor
from acd.rules import book as rulebook
from acd.rules.book import Block
from acd.rules.text import Rulebook
from agents import roster
from agents.model import Agent, Intent
from agents.pause import reason
from alarms import watch as alarms
from alarms.rules import Key, UnknownAlarm, of_live_state
from base import clock, database, log, migrations
from base.background import spawn
from base.bus import Bus, Refused
from base.settings import Settings
from diary import reader
from diary.writer import Diary
from facts import (
    AgentAdded,
    AgentOut,
    AgentPaused,
    AgentReady,
    AgentRemoved,
    CallReleased,
    CallTransferred,
    ControllerStarted,
    ControllerStopped,
    Fact,
    LinkLost,
    LinkRestored,
    RecordingFinished,
    details,
)
from facts.terms import Release
from facts.times import SECOND
from hotline import __version__
from hotline.controller.rows import AgentRows
from hotline.machine import render
from hotline.machine.programs import ProgramError
from hotline.machine.up import stop_event
from ivr import hours, workdays
from ivr import server as agi
from ivr.reception import Reception, receive
from ivr.session import Pace
from metrics import rollup
from metrics.exporter import Exporter
from metrics.live import WARM_UP, Live
from recorder import archive
from telephony import cel, cel_file
from telephony.channels import Calls, pressed
from telephony.link import Link, LinkError
from telephony.outbound import Outbound
from telephony.queue_log_file import QueueLogFile
from telephony.switch import Switch

logger = structlog.get_logger(__name__)

_SHOW_EVERY = 0.5
"""Seconds after which the live state is looked at though no fact came: figures change with time alone, too."""
_SHOW_PAUSE = 0.15
"""Seconds at least between two states for the screens."""
_SHOW_SHARE = 40
"""Making states takes at most one part in so many of a processor."""
_RECORDER_EVERY = 10.0
"""Seconds between two looks for recordings that the recorder has entered."""
_LOOK_EVERY = 3.0
"""Seconds between two looks for callbacks that the command line wrote when it could not reach us."""
_LONGEST_OPEN = 6 * 3600 * SECOND
"""How far back a start looks for calls that have no end in the diary."""
_LONGEST_AWAY = 7 * 86_400 * SECOND
"""How far back a start completes the diary from CEL."""
_OVERLAP = 10 * SECOND
"""How much earlier than the last fact that completion begins: the last facts may not have been written."""

_SOON = 600 * SECOND
"""How near a callback's deadline is when somebody has to know."""
_LAG_HOLDS = 10 * SECOND
"""How long a measured delay of Asterisk's events counts while no other comes."""


async def serve(settings: Settings, ready: Callable[[], None]) -> None:
    """Run the controller until SIGTERM. `ready` is called once calls can be taken."""
    log.configure(settings.log_level, settings.log_dir / "serve.log")
    stop = stop_event()
    engine = database.engine(settings.database)
    await migrations.upgrade(engine)
    controller = Controller(settings, engine)
    try:
        await controller.start(stop)
        # What is there now stays: the garbage collector need not look through it again for every few hundred facts.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        if not stop.is_set():
            ready()
        await stop.wait()
    finally:
        await controller.stop()
        await engine.dispose()


class Controller:
    """One running controller; `serve` drives it."""

    def __init__(self, settings: Settings, engine: AsyncEngine) -> None:
        self.settings = settings
        self.engine = engine
        self.diary = Diary(engine, settings.run_dir)
        self.queue_log = QueueLogFile(settings.log_dir / "queue_log", settings.queue_log)
        self.live = Live(settings.short_abandon)
        self.bus = Bus(settings.redis, settings.node)
        self.calls = Calls(settings.numbers)
        self.link = Link(
            settings.control_address,
            settings.ami_port,
            "hotline",
            render.ami_secret(settings),
            on_message=self._hear,
            on_up=self._catch_up,
            on_down=self._link_down,
        )
        self.switch = Switch(self.link, self.calls)
        self.book = Rulebook()
        self.blocked: Mapping[str, Block] = {}
        self.calendar = hours.Calendar()
        rules = self.book.rules(rulebook.defaults(settings), settings.numbers)
        self.callbacks = tasks.TaskBook(engine, settings.run_dir, self._post)
        self.outbound = Outbound(
            self.link,
            self.calls,
            post=self._post,
            create=self.callbacks.create,
            rules=lambda: self.desk.floor.rules,
            clock=clock.now,
            numbers=settings.numbers,
            rings=settings.callback_rings,
            enabled=bool(settings.outbound),
        )
        self.desk = Desk(
            Floor(
                rules,
                node=settings.node,
                outbound=bool(settings.outbound),
                outside=settings.outside,
            ),
            record=self.record,
            stop_ringing=self._stop_ringing,
            outbound=self.outbound,
            clock=clock.now,
        )
        self.exporter = Exporter(__version__) if settings.metrics_port else None
        self.alarms = alarms.Watch(
            engine,
            [url.get_secret_value() for url in settings.alarm_urls],
            alarms.of_names(alarms.rules(settings), alarms.ELSEWHERE, without=True),
            quick=self._measure,
            slow=self._measure_slowly,
        )
        self._names: dict[str, str] = {}
        self._rows = AgentRows()
        # A controller that was killed may have written numbers of which Asterisk does not know yet.
        self._untold = True
        self._agi: agi.Server | None = None
        self._up = asyncio.Event()
        self._news = asyncio.Event()
        self._stopping = False
        self._since = 0
        self._link_lost_at = 0
        self._lag = (0, 0)
        self._recorded: list[Fact] = []
        self._shown: dict[str, Any] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, stop: asyncio.Event) -> None:
        """Begin. Returns when the state of Asterisk has been read and calls can be taken, or when `stop` is set."""
        self.diary.start()
        self.callbacks.start()
        await self._remember()
        self.record(ControllerStarted(clock.now(), __version__))
        self._tasks = [
            spawn(self.bus.run(), "bus"),
            spawn(self.bus.answer(self._obey), "commands"),
            spawn(self._look_for_callbacks(), "callbacks of others"),
            spawn(self._show(), "live state"),
            spawn(self._warm_up(), "live figures"),
            spawn(self.link.run(), "link"),
        ]
        self._link_lost_at = clock.now()
        self.alarms.start()
        self._export()
        pace = Pace(self.settings.announce_every)
        self._agi = await agi.serve(
            self.settings.control_address,
            self.settings.agi_port,
            desk=self.desk,
            clock=clock.now,
            feature=self._dialled,
            pace=pace,
            callbacks=self.outbound,
            receive=self._receive,
            sounds=render.sounds_folder(self.settings),
        )
        while not (self._up.is_set() or stop.is_set()):  # noqa: ASYNC110 - two events, for a second or so
            await asyncio.sleep(0.02)
        if self._up.is_set():
            logger.info("controller.ready", version=__version__)

    async def stop(self) -> None:
        """Make no more offers, hand waiting callers to the dialplan, wait for talks, write the last facts."""
        self.desk.floor.stop()
        if self._agi is not None:
            await self._agi.close()
        deadline = clock.now() + round(self.settings.stop_wait * SECOND)
        while self._talks_go_on() and clock.now() < deadline:  # noqa: ASYNC110 - half a minute at most
            await asyncio.sleep(0.1)
        logger.info("controller.stopping", talking=self.desk.floor.talking())
        self.record(ControllerStopped(clock.now()))
        self.desk.close()
        self._stopping = True
        self.link.close()
        for task in self._tasks:
            task.cancel()
        await self.alarms.close()
        if self.exporter is not None:
            self.exporter.close()
        self._hand_on()
        await self.callbacks.close()
        await self.diary.close()
        await self.bus.close()

    def _export(self) -> None:
        """Answer Prometheus. A port that is taken costs the figures, not the calls."""
        if self.exporter is None:
            return
        address, port = self.settings.control_address, self.settings.metrics_port
        try:
            self.exporter.serve(address, port)
        except OSError as error:
            logger.error("metrics.no_port", port=port, error=str(error), effect="no Prometheus")

    def _talks_go_on(self) -> bool:
        return self.link.up and self.desk.floor.talking() > 0

    # --- facts in

    def record(self, fact: Fact) -> None:
        """Enter a fact into the diary; `_hand_on` brings it to the others. Never waits."""
        if isinstance(fact, CallReleased) and fact.reason is Release.BLOCKED:
            spawn(self._count_blocked(self.desk.floor.callers[fact.call].caller), "count blocked")
        self.diary.write(fact)
        self.callbacks.note(fact)
        self._recorded.append(fact)
        self._news.set()

    def _hand_on(self) -> None:
        """Let the figures, the stream and queue_log have what was recorded since the last time.

        Several times a second for all together, not one by one between a caller and his agent: one kind of work at a
        time stays in the processor's caches, and takes half as long.
        """
        facts, self._recorded = self._recorded, []
        _each(facts, self.live.add)
        if self.exporter is not None:
            _each(facts, self.exporter.add)
        _each(facts, lambda fact: self.bus.tell(_as_json(fact)))
        self.queue_log.write(facts)

    def _post(self, *facts: Fact) -> None:
        self.desk.post(*facts)

    def _hear(self, message: Any) -> None:
        if (key := pressed(message)) is not None:
            if self._agi is not None:
                self._agi.pressed(*key)
            return
        if (early := self.calls.joined_early(message)) is not None:
            spawn(self.switch.end_early(early), "early transfer")
        facts = self.calls.fold(message)
        if facts:
            now = clock.now()
            self._lag = (now, now - facts[-1].at)
            if self.exporter is not None:
                self.exporter.lag(self._lag[1] / SECOND)
        self.desk.post(*facts)
        self.outbound.hear(facts)
        for fact in facts:
            if isinstance(fact, CallTransferred):
                spawn(self._renew_recording(fact.call), "recording renewed")

    def _receive(self, number: str, caller: str, at: int) -> Reception:
        """How a caller is received, by the rules that are in force."""
        return receive(
            self.desk.floor.rules,
            self.book.hours,
            self.calendar,
            number,
            caller,
            at,
            blocked=lambda caller: caller in self.blocked and self.blocked[caller].in_force(at),
            calls_back=self.desk.floor.outbound,
        )

    async def _count_blocked(self, caller: str) -> None:
        try:
            await rulebook.count_blocked(self.engine, caller)
        except Exception:
            logger.exception("block.not_counted")

    async def _dialled(self, number: str, action: str, key: str) -> str:
        """An agent dialled a feature code; `key` is the digit after `*12`."""
        why = reason(key, self.book.pauses) if action == "pause" else ""
        return "no such reason" if why is None else await self._wish(number, action, why)

    async def _wish(self, number: str, action: str, reason: str = "") -> str:
        """Carry out what an agent asked for on his phone, or somebody for him; `unknown` without such an agent."""
        now = clock.now()
        if not await self._on_the_roster(number):
            return "unknown"
        wishes: dict[str, tuple[Intent, Fact]] = {
            "ready": (Intent.READY, AgentReady(now, number)),
            "pause": (Intent.PAUSED, AgentPaused(now, number, reason)),
            "out": (Intent.OUT, AgentOut(now, number)),
        }
        intent, fact = wishes[action]
        self.desk.post(fact)
        try:
            await roster.set_intent(self.engine, number, intent, reason, now)
        except Exception:
            # The wish is in force; only after a restart would the old one come back.
            logger.exception("roster.away", agent=number)
        return "ok"

    async def _obey(self, command: str, args: dict[str, Any]) -> dict[str, Any]:
        """Carry out a command from the bus. Raises `Refused`."""
        number = str(args.get("number", ""))
        if command == "status":
            return {"ready": self._up.is_set()}
        if command == "agent.added":
            if not await self._on_the_roster(number):
                raise Refused(f"there is no agent {number}")
            return {}
        if command == "agent.removed":
            self.desk.post(AgentRemoved(clock.now(), number))
            await self._read_rules()
            return {}
        if command == "rules.changed":
            await self._read_rules()
            return {}
        if command == "alarm.ack":
            try:
                seen = self.alarms.acknowledge(
                    str(args.get("id", "")), str(args.get("by", ""))[:80]
                )
            except UnknownAlarm as error:
                raise Refused(str(error)) from None
            return {"said": f"alarm {seen.id} ({seen.rule}) acknowledged by {seen.acknowledged_by}"}
        if command == "callback.add":
            return await tasks.add(self.callbacks, self.desk, args)
        if command == "callback.cancel":
            return await tasks.cancel(self.callbacks, self.desk, args)
        action = command.removeprefix("agent.")
        if action not in {"ready", "pause", "out"}:
            raise Refused(f"there is no command {command}")
        reason = str(args.get("reason", ""))
        if await self._wish(number, action, reason) != "ok":
            raise Refused(f"there is no agent {number}: `hotline agent list` shows those there are")
        seat = self.desk.floor.seats.get(number)
        return {"said": f"agent {number}: {seat.presence() if seat is not None else action}"}

    async def _on_the_roster(self, number: str) -> bool:
        """Whether there is such an agent, also one who was added a moment ago by another process."""
        if number in self.desk.floor.seats and number in self._names:
            return True
        await self._read_roster(number)
        return number in self._names

    # --- coming back

    async def _remember(self) -> None:
        """Give the floor the roster and the calls that the diary knows as open."""
        await self._read_rules()
        await self._read_roster()
        now = clock.now()
        last = await reader.last_heard(self.engine)
        self._since = now if last is None else max(last - _OVERLAP, now - _LONGEST_AWAY)
        async for facts in reader.open_calls(self.engine, now - _LONGEST_OPEN):
            self._since = min(self._since, facts[0].at)
            self.queue_log.seed(facts)
            self.desk.seed(facts)
        await self.diary.flush()
        try:
            self.desk.take_up(await self.callbacks.open_tasks())
        except Exception:
            logger.exception("callbacks.away", effect="open callbacks wait for the next start")

    async def _look_for_callbacks(self) -> None:
        """Take up, without a restart, what was entered or cancelled past us: Redis may be away, the database not."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                added, cancelled = await self.callbacks.changes()
            except Exception as error:  # noqa: BLE001 - whatever a driver raises; the book says that it is away
                logger.debug("callbacks.not_read", error=type(error).__name__)
                continue
            if added:
                logger.info("callbacks.taken_up", count=len(added))
                self.desk.take_up(added)
            if cancelled:
                self._post(*cancelled)

    async def _read_rules(self) -> None:
        """Take the rules from the database, at once and without a lost place. While it is away the old ones hold."""
        try:
            book = await rulebook.read(self.engine)
            blocked = await rulebook.blocked(self.engine, clock.now())
            rules = book.rules(rulebook.defaults(self.settings), self.settings.numbers)
            shipped = hours.read_shipped(workdays.SHIPPED.read_text(encoding="utf-8"))
            calendar = hours.read_calendar(shipped, await rulebook.calendar(self.engine))
        except Exception:
            logger.exception("rules.away", effect="the rules of before hold")
            return
        self.book, self.blocked, self.calendar = book, blocked, calendar
        for year in hours.missing_years(book.hours.values(), clock.now(), calendar):
            logger.warning(
                "calendar.missing",
                year=year,
                effect="opening hours are provisional: Monday to Friday, no holidays",
                hint="import the year: hotline queue calendar FILE",
            )
        self.calls.numbers = frozenset(rules.numbers)
        self.desk.configure(rules)
        self.live.allow({pause.name: pause.minutes for pause in book.pauses})
        self.live.rule(rules)
        logger.info("rules.read", queues=len(rules.queues), numbers=len(rules.numbers))
        await self._tell_numbers()

    async def _tell_numbers(self) -> None:
        """Let Asterisk know the numbers that are not in the settings: they are answered without a restart."""
        try:
            changed = render.render_numbers(self.settings, self.calls.numbers)
            more = self.calls.numbers - set(self.settings.numbers)
            self._untold = changed or (self._untold and bool(more))
            if self._untold and self.link.up:
                await self.switch.reload(*render.NUMBER_MODULES)
                self._untold = False
        except (ProgramError, LinkError) as error:
            logger.error("numbers.not_told", error=str(error), effect="new numbers ring nowhere")

    async def _read_roster(self, *only: str) -> None:
        try:
            agents = await roster.list_all(self.engine)
        except Exception:
            logger.exception("roster.away")
            return
        for agent in agents:
            self._names[agent.number] = agent.name
            if not only or agent.number in only:
                self.desk.seed(_seated(agent))
                self.queue_log.seed(_seated(agent))

    async def _catch_up(self) -> None:
        """The link is up: bring the floor to what exists in Asterisk, then allow offers."""
        state = await self.switch.read_state()
        for fact in await self._missed(state.alive):
            self.desk.post(fact)
            if isinstance(fact, CallTransferred) and fact.call in state.alive:
                spawn(self._renew_recording(fact.call), "recording renewed")
        for fact in state.facts:
            self.desk.post(fact)
        self.outbound.caught_up(self.desk.floor.tasks.values())
        until = clock.now() + round(self.settings.settle_time * SECOND)
        self.desk.floor.expect((one.call for one in state.waiting if one.queued_at), until)
        for one in state.waiting:
            if one.application == "Queue":
                await self.switch.recall(one.call)
        self.desk.post(LinkRestored(clock.now()))
        await self._tell_numbers()
        self._up.set()

    async def _missed(self, alive: Iterable[str]) -> list[Fact]:
        """What CEL knows and the diary does not, since the oldest call that was open."""
        now = clock.now()
        try:
            await self.diary.flush()
            reading = await asyncio.to_thread(
                cel_file.read_since, self.settings.cel_file, self._since
            )
            known = [
                fact
                async for fact in reader.read(self.engine, self._since - _OVERLAP, now + SECOND)
            ]
        except Exception:
            logger.exception(
                "cel.failed", effect="what happened meanwhile is missing in the figures"
            )
            return []
        if reading.garbage:
            logger.warning("cel.garbage", lines=reading.garbage)
        missed = cel.complete(
            reading.events, known, numbers=self.calls.numbers, alive=set(alive), now=now
        )
        if missed:
            logger.info("cel.completed", facts=len(missed))
        return missed

    def _link_down(self) -> None:
        if self._stopping:
            return
        now = self._link_lost_at = clock.now()
        arrivals = [
            caller.arrived_at for caller in self.desk.floor.callers.values() if caller.arrived_at
        ]
        self._since = min([now, *arrivals]) - _OVERLAP
        self.desk.post(LinkLost(now))

    # --- commands out

    def _stop_ringing(self, call: str, agent: str) -> None:
        spawn(self._take_back(call, agent), "stop ringing")

    async def _take_back(self, call: str, agent: str) -> None:
        try:
            await self.switch.stop_ringing(call, agent)
        except LinkError as error:
            logger.warning("offer.not_taken_back", call_id=call, agent=agent, error=str(error))

    async def _renew_recording(self, call: str) -> None:
        try:
            await self.switch.renew_recording(call, self.settings.spool_dir / f"{call}.raw")
        except LinkError as error:
            logger.error("recording.not_renewed", call_id=call, error=str(error))

    # --- live state

    async def _show(self) -> None:
        """Show what is new as soon as there is something, but leave time for calls in between."""
        shown: dict[str, Any] = {}
        shown_at = 0
        while True:
            self._news.clear()
            now, began = clock.now(), time.thread_time()
            try:
                self._hand_on()
                state = self._state(now)
                # Screens take a state that is older than five seconds for stale, so an unchanged one is sent, too.
                if state != shown or now - shown_at > SECOND:
                    shown, shown_at = state, now
                    self.bus.show({"at": now, **state})
            except Exception:
                logger.exception("state.failed", effect="the screens are behind")
            took = time.thread_time() - began
            await asyncio.sleep(min(_SHOW_EVERY, max(_SHOW_PAUSE, took * _SHOW_SHARE)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SHOW_EVERY):
                    await self._news.wait()

    def _state(self, now: int) -> dict[str, Any]:
        floor = self.desk.floor
        figures = self.live.snapshot(now)
        del figures["at"], figures["longest_wait"]
        states = Counter(task.state.value for task in floor.tasks.values())
        # `due` are those that may be placed now; the others' earliest time, or next attempt, is still to come.
        figures["callbacks"] |= {
            "open": len(floor.tasks),
            "due": sum(
                task.state is State.DUE and task.not_before <= now for task in floor.tasks.values()
            ),
            "dialling": states["dialling"],
            "talking": states["talking"],
        }
        self._shown = {
            **figures,
            "waiting_since": floor.waiting_since(),
            "agents": self._rows.of(floor.seats, self._names, self.book),
            "alarms": [alarm.as_json() for alarm in self.alarms.open()],
        }
        if self.exporter is not None:
            self.exporter.show(
                self._shown,
                now,
                ami_up=self.link.up,
                redis_up=not self.bus.away_for(now),
                backlog=self.diary.waiting,
                lost=self.diary.lost,
                callbacks=len(floor.tasks),
            )
        return self._shown

    def _measure(self, now: int) -> dict[Key, float | None]:
        """The alarms' readings that need no waiting."""
        heard, lag = self._lag
        years = hours.missing_years(self.book.hours.values(), now, self.calendar)
        due = sum(
            task.state is State.DUE and task.latest - now < _SOON
            for task in self.desk.floor.tasks.values()
        )
        return {
            **of_live_state(self._shown or self._state(now), now),
            ("link_lost", ""): 0 if self.link.up else (now - self._link_lost_at) / SECOND,
            ("event_lag", ""): lag / SECOND if now - heard < _LAG_HOLDS else 0,
            ("database_away", ""): max(self.diary.waiting, 1) if self.diary.away else 0,
            ("screens_stale", ""): self.bus.away_for(now) / SECOND,
            ("callbacks_due", ""): due,
            ("calendar_missing", ""): years[0] if years else 0,
        }

    async def _measure_slowly(self, now: int) -> dict[Key, float | None]:
        """Those that need the disk, the database or Asterisk."""
        found = await alarms.recordings(self.engine, self.settings, now)
        found["trunk_gone", ""] = None
        if self.settings.outbound and self.link.up:
            with contextlib.suppress(LinkError):  # that is another alarm
                answers = await self.switch.outbound_answers()
                found["trunk_gone", ""] = None if answers is None else not answers
        return found

    async def _warm_up(self) -> None:
        """Feed the live figures with the last two days, a little at a time."""
        now = clock.now()
        count = 0
        for fact in await rollup.state_at(self.engine, now - WARM_UP):
            self.live.add(fact)
        async for fact in reader.read(self.engine, now - WARM_UP, now):
            self.live.add(fact)
            count += 1
            if count % 200 == 0:
                await asyncio.sleep(0)
        await self._hear_recorder(now)

    async def _hear_recorder(self, since: int) -> None:
        """The recorder is a process of its own: what it entered into the diary is read from there (M23)."""
        kinds = {RecordingFinished.kind}
        while True:
            await asyncio.sleep(_RECORDER_EVERY)
            now = clock.now()
            try:
                async for fact in reader.read_kinds(self.engine, kinds, since - _OVERLAP, now + 1):
                    self.live.add(fact)
            except Exception:
                logger.exception("recordings.away", effect="the screens' M23 is behind")
            else:
                since = now


def _seated(agent: Agent) -> list[Fact]:
    """A row of the roster as the facts that put the agent on the floor."""
    facts: list[Fact] = [AgentAdded(agent.intent_at, agent.number)]
    if agent.intent is Intent.READY:
        facts.append(AgentReady(agent.intent_at, agent.number))
    elif agent.intent is Intent.PAUSED:
        facts.append(AgentPaused(agent.intent_at, agent.number, agent.pause_reason))
    return facts


def _each(facts: Iterable[Fact], take: Callable[[Fact], object]) -> None:
    """Give each fact to `take`; one that fails concerns no other."""
    for fact in facts:
        try:
            take(fact)
        except Exception:
            logger.exception("fact.not_taken", fact=fact.kind)


def _as_json(fact: Fact) -> dict[str, Any]:
    return {
        "at": fact.at,
        "kind": fact.kind,
        "call": getattr(fact, "call", ""),
        "agent": getattr(fact, "agent", ""),
        **details(fact),
    }


async def record(settings: Settings) -> None:
    """Run the recorder until SIGTERM."""
    log.configure(settings.log_level, settings.log_dir / "recorder.log")
    stop = stop_event()
    engine = database.engine(settings.database)
    await migrations.upgrade(engine)
    bus = Bus(settings.redis, settings.node)
    sender = spawn(bus.run(), "bus")
    # Folding an hour's calls takes a second of CPU, which the controller must not spend.
    figures = spawn(rollup.run(engine, stop), "roll-ups")
    try:
        await archive.run(engine, settings, lambda fact: bus.tell(_as_json(fact)), stop)
    finally:
        figures.cancel()
        sender.cancel()
        await bus.close()
        await engine.dispose()


async def web(settings: Settings) -> None:
    """Run the screens and the API until SIGTERM."""
    import uvicorn

    from web.accounts import accounts
    from web.app import create_app

    log.configure(settings.log_level, settings.log_dir / "web.log")
    # A screen that was dropped: `web.feed` has said so already.
    logging.getLogger("uvicorn.error").addFilter(
        lambda record: "without completing response" not in record.getMessage()
    )
    if not settings.web_is_local:
        logger.warning(
            "web.reachable",
            address=settings.web_address,
            hint="passwords pass in clear text: let a proxy with TLS listen there instead",
        )
    engine = database.engine(settings.database)
    await migrations.upgrade(engine)
    await accounts.first_start(engine, settings)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings, engine, Bus(settings.redis, settings.node)),
            host=settings.web_address,
            port=settings.web_port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )
    async with alarms.over_figures(engine, settings):
        await server.serve()
    await engine.dispose()
