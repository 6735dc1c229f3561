"""The controller: read this first. It puts the parts together and shows how facts and commands flow between them.

    Asterisk ── AMI ──> telephony.link ─> telephony.channels ─┐             ┌─> diary.writer, callbacks' book (database)
    Asterisk <─ AGI ──> ivr.server ───────────────────────────┼─> acd.desk ─┤
    phones, screens, command line ──> people, requests ───────┘ (acd.floor) └─> outlets ─> metrics.live, bus (Redis)
                                                                  │                          └─> shown (the live state)
    ivr.server / telephony.switch, telephony.outbound <── commands

A fact comes in from the left, the floor decides, and what is news goes out to the right. `recovery` brings the floor to
what exists in Asterisk before the first offer is made; `in_force` holds the rules; `readings` are for the alarms.
"""

import asyncio
import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine
from typing_extensions import TypeIs

from acd.callbacks import book as callback_book
from acd.callbacks.task import Task
from acd.desk import Desk
from acd.floor import Floor, Stage
from acd.gate import Purpose, Refusal
from acd.rules.model import Rules
from acd.rules.text import Rulebook
from alarms import urgent
from alarms import watch as alarms
from alarms.rules import Alarm, Key
from base import clock, database, lease, log, migrations
from base.background import spawn, within
from base.bus import Bus, Refused
from base.settings import Settings
from base.stalls import LoopWatch
from diary import reader
from diary.writer import Diary
from facts import (
    CallArrived,
    CallTransferred,
    ControllerStarted,
    ControllerStopped,
    Fact,
    PartyAsked,
    PartyLeft,
    TalkEnded,
)
from facts.live import LiveState
from facts.masking import mask_numbers
from facts.parties import PartyKind
from facts.requests import Request, asks_of_talks
from facts.terms import CallId
from facts.times import HOUR, SECOND
from hotline import __version__
from hotline.controller import (
    callbacks,
    dials,
    feeding,
    garbage,
    marks,
    parties,
    readings,
)
from hotline.controller.calls_today import CallsToday
from hotline.controller.control import Control
from hotline.controller.hang_ups import HangUps
from hotline.controller.in_force import RulesInForce
from hotline.controller.messages import Messages
from hotline.controller.open_callbacks import OpenCallbacks
from hotline.controller.outlets import Outlets
from hotline.controller.parties import ThirdParties
from hotline.controller.people import People
from hotline.controller.recovery import Recovery
from hotline.controller.red_button import RedButton
from hotline.controller.renewals import Renewals
from hotline.controller.requests import Requests
from hotline.controller.shown import Shown
from hotline.controller.supervising import Supervising, queue_of_talk
from hotline.controller.surveys import Around, SurveyOptions, Surveys
from hotline.controller.tape import TapeWatch
from hotline.controller.waiting import WaitingCallers
from hotline.controller.watch import PhoneWatch
from hotline.machine import home, render
from hotline.machine.up import stop_event
from ivr import server as agi
from ivr.session import Pace
from metrics.exporter import Exporter
from metrics.live import Live
from telephony import hep, phones
from telephony.bring_in import BringIn
from telephony.channels import Calls, Message, pressed
from telephony.emergency import Emergencies
from telephony.guesses import Guesses, guess
from telephony.leaving import LONGEST as LEAVES_WITHIN
from telephony.leaving import LeavingPhones
from telephony.left_callbacks import LeftCallbacks
from telephony.link import Link, LinkError
from telephony.outbound import Outbound
from telephony.parties import LiveParty, Parties, handed
from telephony.pauses import RecordingPauses
from telephony.queue_log_file import QueueLogFile
from telephony.refused import SETTLE, RefusedCalls, unpack
from telephony.supervision import Supervision
from telephony.switch import Switch
from telephony.talk_verbs import TalkVerbs
from telephony.texts import PhoneTexts
from telephony.trunks import Trunks, TrunkState

logger = structlog.get_logger(__name__)

SETTLED_WITHIN = 0.6
"""Seconds for which a request about a talk waits after a start: it is answered within one."""
LISTEN_FOR = 3.0
"""Seconds for which offers wait at most for what Asterisk told while this program stood still."""

ANSWERED_WITHIN = 10.0
"""Seconds for which a dialled citizen's answer is listened for after their phone has rung as long as it may."""

FIGURES_WITHIN = 3.0
"""Seconds for which the first live state waits at most for what the database knows of the last 24 hours."""

MOST_REFUSALS = 1000
"""Refused AGI connections that are remembered for the alarm."""


async def serve(settings: Settings, ready: Callable[[], None]) -> None:
    """Run the controller until SIGTERM. `ready` is called once calls can be taken.

    Raises `DatabaseError` when another controller works on the database, or takes it over.
    """
    log.configure(settings.log_level, settings.log_dir / "serve.log")
    home.close(settings)
    stop = stop_event()
    engine = database.engine(settings.database)
    with lease.alone(settings):
        try:
            await migrations.upgrade(engine)
            mine = lease.Lease(engine, settings)
            await mine.take()
            beating = spawn(mine.run(stop.set), "lease")
            await _serve(settings, engine, stop, ready)
            beating.cancel()
            await mine.release()
        finally:
            await engine.dispose()
    if mine.lost:
        raise migrations.DatabaseError("another Hotline has taken over this database")


async def _serve(
    settings: Settings, engine: AsyncEngine, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    controller = Controller(settings, engine)
    garbage.begin()
    try:
        await controller.start(stop)
        garbage.keep()
        if not stop.is_set():
            ready()
        await stop.wait()
    finally:
        await controller.stop()


class Controller:
    """One running controller; `serve` drives it. It is also what `readings` measure."""

    def __init__(self, settings: Settings, engine: AsyncEngine) -> None:
        self._settings = settings
        self._engine = engine
        self._up = asyncio.Event()
        self._stopping = False
        self._lag = (0, 0)
        self._informed = False
        self._settled = asyncio.Event()
        self._refusals: deque[int] = deque(maxlen=MOST_REFUSALS)
        self._guesses = Guesses()
        self._jumps = clock.ClockJumps()
        self._agi: agi.Server | None = None
        self._copies: hep.Copies | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._bus = Bus(settings.redis, settings.node)
        trunks = [trunk.name for trunk in settings.named_trunks]
        self._exporter = Exporter(__version__, trunks) if settings.metrics_port else None
        self._loop_watch = None if self._exporter is None else LoopWatch(self._exporter.stalled)
        self._figures = Live(settings.short_abandon)
        self._figures_known = asyncio.Event()
        self._queue_log = QueueLogFile(settings.log_dir / "queue_log", settings.queue_log)
        self._diary = Diary(engine, settings.run_dir, beside=urgent.beside(engine.dialect.name))
        self._book = callback_book.TaskBook(engine, settings.run_dir, self._report)
        self._tape = TapeWatch(settings, self._renew_recordings)
        self._in_force = RulesInForce(
            engine,
            settings,
            self._apply,
            lambda: self._switch.reload if self._link.up else None,
            lambda caller: self._desk.floor.refusal(caller, Purpose.ASKED) is None,
            lambda: not self._tape.why,
        )
        self._connect()
        self._distribute()
        self._people = People(
            engine,
            self._desk,
            self._queue_log.seed,
            on_floor=self._on_floor,
            pauses=lambda: self._in_force.book.pauses,
        )
        self._phones = phones.PhoneMirror(engine, settings)
        self._show()

    def _connect(self) -> None:
        """The seam to Asterisk."""
        settings = self._settings
        self._calls = Calls(settings.numbers)
        self._calls.link_lost()
        self._link = Link(
            settings.control_address,
            settings.ami_port,
            "hotline",
            render.ami_secret(settings),
            on_message=self._hear,
            on_up=self._link_restored,
            on_down=self._link_lost,
        )
        self._parties = Parties(self._calls.caller_gone, self._call_again, self._calls.call_of)
        self._calls.talks_on = self._parties.inside
        self._switch = Switch(self._link, self._calls, found=self._parties.found)
        self._renewals = Renewals(self._calls, self._switch, settings.spool_dir)
        self._bring_in = BringIn(
            self._link,
            self._calls,
            self._parties,
            node=settings.node,
            report=self._report,
            clock=clock.now,
            asked=self._party_asked,
            stepped_in=lambda call: self._supervision.there.stepped_in(call),  # noqa: PLW0108 - it is made later
        )
        self._sip_ports = frozenset({settings.sip_port, settings.tls_port} - {0})
        self._refused_calls = RefusedCalls(
            settings.node,
            settings.all_trunks,
            self._sip_ports,
            lambda: self._calls.numbers,
        )
        self._hep_secret = render.hep_secret(settings).encode()
        self._trunks_unseen = ""
        self._trunks = Trunks(
            self._link, self._calls, settings.named_trunks, unnamed=bool(settings.outbound)
        )
        self._watch = PhoneWatch(
            self._calls,
            self._switch,
            self._report,
            clock.now,
            settings.dead_phone_after,
            self._sip_ports,
            self._hear_answers,
        )
        self._leaving = LeavingPhones(
            self._calls,
            self._switch,
            self._report,
            clock.now,
            lambda: self._informed,
            address=settings.sip_address,
            port=settings.sip_port,
            ports=self._sip_ports,
        )
        self._texts = PhoneTexts(self._link, self._hear_answers)
        self._pauses = RecordingPauses(
            self._calls,
            self._switch,
            self._report,
            clock.now,
            allowed=settings.recording_pause,
            limit=settings.recording_pause_limit,
        )
        self._hang_ups = HangUps(self._report, clock.now)
        self._surveys = Surveys(
            self._calls,
            self._switch,
            Around(
                report=self._report,
                rules=lambda: self._in_force.rules,
                clock=clock.now,
                story=self._story,
                refusal=self._may_dial,
                create=self._book.create,
                calendar=lambda: self._in_force.calendar,
            ),
            SurveyOptions(
                settings.survey_least_talk, settings.survey_link_hours, settings.survey_call_back
            ),
        )
        self._supervision = Supervision(
            self._link,
            self._calls,
            self._report,
            clock.now,
            node=settings.node,
            engage=lambda agent: self._desk.engage(agent),  # noqa: PLW0108 - the desk is made later
            release=lambda agent: self._desk.release(agent),  # noqa: PLW0108
            two_left=self._two_left,
            parties=lambda call: bool(self._parties.of(call)),
        )
        self._supervising = Supervising(
            self._engine,
            self._supervision,
            settings.supervision_phones,
            queue_of=lambda agent: queue_of_talk(self._calls.talks(), self._desk.floor, agent),
        )
        self._outbound = Outbound(
            self._link,
            self._calls,
            report=self._report,
            rules=lambda: self._in_force.rules,
            clock=clock.now,
            numbers=settings.numbers,
            rings=settings.callback_rings,
            enabled=settings.calls_out,
            refusal=lambda number: self._desk.floor.refusal(number, Purpose.CALLBACK),
            picks_up=self._picks_up,
        )

    def _picks_up(self, callback: int) -> bool:
        """Whether the agent has asked for this call, at a centre that has phones pick such calls up by themselves."""
        task = self._desk.floor.tasks.get(callback)
        return self._settings.dial_picks_up and task is not None and task.own

    def _distribute(self) -> None:
        """The floor, what goes in and what comes out."""
        settings = self._settings
        self._calls_today = CallsToday()
        takers: list[Callable[[Fact], object]] = [
            *(self._figures.add, self._bus.send, self._calls_today.take, self._supervising.add),
        ]
        if self._exporter is not None:
            takers.insert(1, self._exporter.add)
        self._outlets = Outlets(
            self._diary, self._book.write, self._queue_log, takers, self._count_blocked
        )
        self._desk = Desk(
            Floor(
                self._in_force.rules,
                node=settings.node,
                outbound=settings.calls_out,
                outside=settings.outside,
                policy=callback_book.policy(settings),
            ),
            record=self._record,
            stop_ringing=self._stop_ringing,
            book=self._book,
            outbound=self._outbound,
            clock=clock.now,
        )
        self._open_callbacks = OpenCallbacks(
            self._book,
            self._desk,
            self._outbound,
            note=self._diary.write,
            informed=lambda: self._informed,
        )
        self._recovery = Recovery(
            self._engine,
            settings,
            desk=self._desk,
            diary=self._diary,
            callbacks=self._open_callbacks,
            switch=self._switch,
            outbound=self._outbound,
            queue_log=self._queue_log,
            numbers=lambda: self._calls.numbers,
            record=self._outlets.record,
            renew=self._renewals.renew,
            learn=self._calls.learn,
        )

    def _show(self) -> None:
        """What people and programs see and ask."""
        settings = self._settings
        self._third_parties = ThirdParties(
            self._calls,
            self._parties,
            self._bring_in,
            desk=self._desk,
            floor=self._desk.floor,
            allowed=lambda: parties.allowed(settings),
            ways=self._trunks.ways,
            outbound=lambda: settings.calls_out,
            clock=clock.now,
        )
        self._emergencies = Emergencies(
            self._parties,
            self._bring_in,
            ways=self._trunks.ways,
            shown=self._third_parties.shown,
            rings=settings.callback_rings,
            clock=clock.now,
            record=self._renewals.go_on,
        )
        self._left_callbacks = LeftCallbacks(
            self._calls,
            self._parties,
            record=self._renewals.go_on,
        )
        watched = alarms.of_names(alarms.rules(settings), alarms.ELSEWHERE, without=True)
        self._alarms = alarms.Watch(
            self._engine,
            [url.get_secret_value() for url in settings.alarm_urls],
            watched,
            quick=lambda now: readings.quick(self, now),
            slow=self._slow_readings,
            higher=[url.get_secret_value() for url in settings.escalation_urls],
        )
        self._waiting = WaitingCallers(
            self._desk,
            clock.now,
            assign_for=settings.assign_for,
            before=self._calls_today.before,
        )
        self._red_button = RedButton(
            self._engine,
            self._desk.floor,
            self._outlets.record,
            self._diary.flush,
            clock.now,
            within=settings.alert_within,
        )
        self._messages = Messages(
            self._engine,
            lambda: self._desk.floor.seats,
            self._texts,
            clock.now,
            keep=settings.message_days,
        )
        self._shown = Shown(
            self._figures,
            self._desk.floor,
            names=self._people.names,
            book=lambda: self._in_force.book,
            alarms=lambda: (alarm.as_json() for alarm in self._alarms.open()),
            paused=self._pauses.now,
            waiting=self._waiting.rows,
            unread=lambda: self._messages.unread,
            parties=self._third_parties.now,
            on_hold=self._calls.on_hold,
            supervision=self._supervision.now,
            supervision_shown=settings.supervision_shown,
            alerts=self._red_button.rows,
            export=self._export,
            show=self._bus.show,
            hand_on=self._outlets.hand_on,
            news=self._outlets.news,
        )
        verbs = TalkVerbs(self._link)
        self._marks = marks.Marks(
            self._calls,
            hang_up=verbs.hang_up,
            report=self._report,
            clock=clock.now,
            propose=self._propose_block,
        )
        self._control = Control(
            self._calls,
            verbs,
            self._desk.floor,
            self._marks,
            report=self._report,
            clock=clock.now,
            knows=self._people.knows,
            stopping=lambda: self._desk.floor.hall.stopping,
            dial=lambda asked: dials.dial(self._book, self._desk, asked),
            asked_in=self._parties.of,
        )
        self._requests = Requests(
            ready=self._up.is_set,
            people=self._people,
            renew_phones=self._phones.look,
            presence=self._presence,
            report=self._report,
            read_rules=self._in_force.read,
            read_trunks=self._read_trunks,
            acknowledge=self._acknowledge,
            pauses=self._pauses,
            surveys=self._surveys,
            explain=self._hang_ups.explain,
            supervise=self._supervising.answer,
            add_callback=lambda asked: callbacks.add(self._book, self._desk, asked),
            cancel_callback=lambda task: callbacks.cancel(self._book, self._desk, task),
            bring_in=self._third_parties.answer,
            waiting=self._waiting,
            messages=self._messages,
            red_button=self._red_button,
            control=self._control.answer,
        )

    async def start(self, stop: asyncio.Event) -> None:
        """Begin. Returns when the state of Asterisk has been read and calls can be taken, or when `stop` is set."""
        self._diary.start()
        self._book.start()
        await self._in_force.read()
        await self._people.read()
        await self._phones.look()
        await self._recovery.read_diary()
        self._outlets.record(ControllerStarted(clock.now(), __version__))
        self._tasks = [
            spawn(self._bus.run(), "bus"),
            spawn(self._bus.answer(self._requests.answer, self._talks_known), "requests"),
            spawn(self._open_callbacks.run(), "callbacks of others"),
            spawn(self._show_states(), "live state"),
            spawn(
                feeding.feed_figures(
                    self._engine, self._figures, self._figures_known, warm=garbage.keep
                ),
                "live figures",
            ),
            spawn(self._calls_today.read(self._engine), "calls of today"),
            spawn(self._red_button.run(), "red button"),
            spawn(self._messages.run(), "unread messages"),
            spawn(garbage.run(lambda: not self._desk.floor.callers), "garbage"),
            spawn(self._link.run(), "link"),
            spawn(self._recovery.run(), "completion"),
            spawn(self._phones.run(), "phones"),
            spawn(self._watch.run(), "phone watch"),
            spawn(self._pauses.run(), "pauses of recordings"),
            spawn(self._supervising.run(), "audit of supervisors"),
            spawn(self._tape.run(), "tape watch"),
            spawn(self._surveys.run(self._engine), "surveys"),
            spawn(self._hang_ups.run(self._engine), "hang-ups"),
        ]
        self._recovery.link_lost_at = clock.now()
        if self._loop_watch is not None:
            self._loop_watch.start()
        self._desk.watch(self._hear_out)
        self._alarms.start()
        self._open_exporter()
        await self._open_copies()
        self._agi = await agi.serve(
            self._settings.control_address,
            self._settings.agi_port,
            secret=render.agi_secret(self._settings),
            desk=self._desk,
            clock=clock.now,
            feature=self._dialled,
            record=self._pauses.key,
            pace=Pace(self._settings.announce_every, survey_reason=self._settings.survey_reason),
            surveys=self._surveys,
            bring_in=self._third_parties.key,
            supervise=self._supervising.dialled,
            alert=self._red_button.press,
            marked=self._marks.ending,
            call_of=self._calls.call_of,
            callbacks=self._outbound,
            ways=self._trunks,
            receive=self._in_force.receive,
            sounds=render.sounds_folder(self._settings),
            seen=lambda channel: self._calls.knows(channel) if self._informed else None,
            refused=self._refused,
        )
        while not (self._up.is_set() or stop.is_set()):  # noqa: ASYNC110 - two events, for a second or so
            await asyncio.sleep(0.02)
        if self._up.is_set():
            logger.info("controller.ready", version=__version__)

    async def _show_states(self) -> None:
        """Show the live state, once its figures are right: whoever looks at the wall takes a 0 for a fact."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIGURES_WITHIN):
                await self._figures_known.wait()
        await self._shown.run()

    async def stop(self) -> None:
        """Make no more offers, hand waiting callers to the dialplan, wait for talks, write the last facts."""
        self._desk.floor.stop()
        if self._agi is not None:
            await self._agi.close()
        deadline = clock.now() + round(self._settings.stop_wait * SECOND)
        while self._talks_go_on() and clock.now() < deadline:  # noqa: ASYNC110 - half a minute at most
            await asyncio.sleep(0.1)
        logger.info("controller.stopping", talking=self._desk.floor.talking())
        self._close_copies()
        self._outlets.record(ControllerStopped(clock.now()))
        self._leaving.close()
        self._desk.close()
        self._stopping = True
        self._link.close()
        for task in self._tasks:
            task.cancel()
        await self._alarms.close()
        if self._loop_watch is not None:
            self._loop_watch.stop()
        if self._exporter is not None:
            self._exporter.close()
        self._outlets.hand_on(sys.maxsize)
        await self._supervising.write()
        await self._book.close()
        await self._diary.close()
        await self._bus.close()

    def _talks_go_on(self) -> bool:
        return self._link.up and self._desk.floor.talking() > 0

    async def _dialled(self, agent: str, action: str, key: str) -> str:
        """An agent dialled a feature code. Gives `ok`, or why not."""
        if action == "explain":
            return self._hang_ups.dialled(agent, key)
        return await self._people.dialled(agent, action, key)

    # --- facts in

    def _record(self, fact: Fact) -> None:
        """Enter what the floor has accepted."""
        self._outlets.record(fact)
        self._surveys.add(fact)
        self._hang_ups.add(fact)

    def _may_dial(self, number: str, purpose: Purpose) -> Refusal | None:
        return self._desk.floor.refusal(number, purpose)

    def _report(self, *facts: Fact) -> None:
        self._desk.report(*facts)

    def _hear(self, message: Message) -> None:
        """One message of Asterisk's manager interface, in its order."""
        if (key := pressed(message)) is not None:
            if self._agi is not None:
                self._agi.pressed(*key)
            return
        if address := guess(message):
            self._guessed(address)
            return
        self._watch.take(message)
        if agent := self._calls.back_again(message):
            spawn(self._ask_phone(agent), "phone is back")
            return
        if (early := self._calls.joined_early(message)) is not None:
            spawn(self._switch.end_early(early), "early transfer")
        self._trunks.read(message)
        left = self._calls.leaves(message)
        facts = self._leaving.heard(self._calls.read(message))
        facts += self._parties.read(message)
        if dialled := self._calls.dials(message):
            self._outbound.follow(*dialled)
            self._hear_answers(self._settings.callback_rings + ANSWERED_WITHIN)
        if facts:
            now = clock.now()
            self._lag = (now, now - facts[-1].at)
            if self._exporter is not None:
                self._exporter.lag(self._lag[1] / SECOND)
        self._recovery.report(*facts)
        self._outbound.take(facts)
        self._pauses.take(facts)
        self._supervision.there.read(message)
        self._supervision.there.take(facts)
        self._bring_in.take(facts)
        self._emergencies.take(facts)
        if left:
            self._bring_in.citizen_left(left)
            self._emergencies.citizen_left(left)
        self._left_callbacks.take(facts)
        for fact in facts:
            if isinstance(fact, CallTransferred) or self._others_talk_on(fact):
                self._renewals.renew(fact.call)

    def _others_talk_on(self, fact: Fact) -> TypeIs[TalkEnded | PartyLeft]:
        """Whether somebody has left a talk that goes on. A recording that is paused stays as it is."""
        if not isinstance(fact, TalkEnded | PartyLeft) or not self._renewals.lives(fact.call):
            return False
        if isinstance(fact, TalkEnded):
            return self._parties.inside(fact.call)
        return fact.agent not in self._pauses.now()

    async def _talks_known(self, asked: Request) -> None:
        """After a start and a lost link nobody knows yet who talks, and would refuse for nothing."""
        if asks_of_talks(asked) and not await within(SETTLED_WITHIN, self._settled):
            raise Refused("Asterisk does not answer, or the hotline is just starting: try again")

    async def _hear_out(self) -> None:
        """Return when everything has been read that Asterisk had told before. Without a link there is nothing."""
        with contextlib.suppress(LinkError):
            await self._link.act({"Action": "Ping"}, timeout=LISTEN_FOR)

    async def _link_restored(self) -> None:
        state = await self._recovery.link_restored()
        self._informed = True
        self._bring_in.caught_up()
        self._emergencies.caught_up()
        self._left_callbacks.caught_up()
        self._renewals.caught_up()
        await self._pauses.settle(state.paused, self._story)
        await self._supervision.there.settle(state.supervisors, self._supervising.unended)
        spawn(self._finish_handovers(handed(state)), "handovers finished")
        self._settled.set()
        await self._in_force.announce_numbers()
        await self.look_at_trunks()
        self._up.set()

    def _link_lost(self) -> None:
        self._informed = False
        self._settled.clear()
        self._calls.link_lost()
        if not self._stopping:
            self._recovery.link_lost()

    async def _story(self, call: CallId) -> Sequence[Fact]:
        """What the diary knows of a call."""
        await self._diary.flush()
        return (await reader.read_stories(self._engine, [call])).get(call, [])

    def _party_asked(self, fact: PartyAsked) -> None:
        if fact.who is PartyKind.EMERGENCY:
            self._emergencies.called(fact)

    def _call_again(self, party: LiveParty) -> bool:
        """Whether a party that a trunk did not take is called by another one."""
        return self._bring_in.again(party)

    def _guessed(self, address: str) -> None:
        """Somebody there could not sign in as an agent's phone."""
        if self._guesses.add(address, clock.now()):
            logger.warning("sip.sign_in_refused", address=address)
        if self._exporter is not None:
            self._exporter.guessed()

    async def _open_copies(self) -> None:
        """Listen for copies of SIP messages. A port that is taken costs the sight of refusals and races, no call."""
        address, port = self._settings.control_address, self._settings.agi_port
        try:
            self._copies = hep.listen(address, port, self._sip_ports, self._copied)
        except OSError as error:
            logger.error("refused_calls.no_port", port=port, error=str(error), effect="not seen")

    def _hear_answers(self, seconds: float) -> bool:
        """Have copies of answers and ends come for so long. False: none come, for the port was taken."""
        if self._copies is not None:
            self._copies.hear_more(seconds)
        return self._copies is not None

    def _close_copies(self) -> None:
        if self._copies is not None:
            self._copies.close()
        if self._settling is not None:
            self._settling.cancel()
        self._tell_refused(clock.now() + SETTLE)

    def _copied(self, datagram: bytes) -> None:
        """Asterisk has received or sent a SIP message. Of refused calls the floor hears nothing: it decides nothing."""
        copy = unpack(datagram, self._hep_secret)
        if copy is None:
            return
        if self._leaving.take(copy):
            self._hear_answers(LEAVES_WITHIN)
        self._watch.copied(copy)
        self._outbound.hear(copy.at, copy.text)
        self._texts.copied(copy)
        if number := self._refused_calls.take(copy):
            logger.warning("number.unknown", number=mask_numbers(number))
            if self._exporter is not None:
                self._exporter.unknown_number()
        if self._refused_calls.waiting and self._settling is None:
            self._settling = asyncio.get_running_loop().call_later(
                SETTLE / SECOND, self._settle_refused
            )

    def _settle_refused(self) -> None:
        self._settling = None
        self._tell_refused(clock.now())
        if self._refused_calls.waiting:
            self._settling = asyncio.get_running_loop().call_later(0.2, self._settle_refused)

    def _tell_refused(self, now: int) -> None:
        for fact in self._refused_calls.due(now):
            self._outlets.record(fact)
            if not isinstance(fact, CallArrived):
                logger.warning("call.refused", call_id=fact.call, status=fact.status)
        if untold := self._refused_calls.untold:
            self._refused_calls.untold = 0
            logger.error("calls.refused_too_many", untold=untold, effect="not in the figures")
            if self._exporter is not None:
                self._exporter.untold(untold)

    def _refused(self, why: str) -> None:
        """Somebody at the AGI port was not believed to be Asterisk."""
        self._refusals.append(clock.now())
        if self._exporter is not None:
            self._exporter.refused(why)

    def _apply(self, rules: Rules, book: Rulebook) -> None:
        """Give new rules to the floor, the figures and the reader of AMI."""
        self._calls.numbers = frozenset(rules.numbers)
        self._desk.configure(rules)
        self._figures.allow({pause.name: pause.minutes for pause in book.pauses})
        self._figures.rule(rules)

    def _count_blocked(self, call: CallId) -> None:
        self._in_force.count_blocked(self._desk.floor.callers[call].caller)

    async def _propose_block(self, call: CallId, by: str) -> str:
        days = self._settings.harassing_block_days
        caller = self._desk.floor.citizen_of(call)
        return await marks.propose(self._engine, caller, by, call, days, clock.now())

    # --- commands out

    def _stop_ringing(self, call: CallId, agent: str) -> None:
        spawn(self._take_back(call, agent), "stop ringing")

    async def _take_back(self, call: CallId, agent: str) -> None:
        try:
            await self._switch.stop_ringing(call, agent)
        except LinkError as error:
            logger.warning("offer.not_taken_back", call_id=call, agent=agent, error=str(error))

    async def _ask_phone(self, agent: str) -> None:
        try:
            await self._switch.ask_phone(agent)
        except LinkError as error:
            logger.warning("phone.not_asked", agent=agent, error=str(error))

    def _renew_recordings(self) -> None:
        """Calls can be recorded again: those that go on without, too."""
        for caller in self._desk.floor.callers.values():
            if caller.stage is not Stage.RELEASED:
                self._renewals.renew(caller.call)

    async def _finish_handovers(self, began: list[tuple[CallId, str]]) -> None:
        for call in await self._control.finish(began):
            self._two_left(call)

    def _two_left(self, call: CallId) -> None:
        """A supervisor who had stepped in is out again. A recording that is paused stays as it is."""
        paused = self._pauses.now()
        if not any(talk.call == call and talk.agent in paused for talk in self._calls.talks()):
            self._renewals.renew(call)

    # --- what others see

    def _acknowledge(self, name: str, by: str) -> Alarm:
        """Acknowledge an alarm. That of the red button is acknowledged with it."""
        alarm = self._alarms.acknowledge(name, by)
        if alarm.rule.startswith("red_button"):
            self._red_button.alarm_seen(alarm.subject, by)
        return alarm

    def red_button(self) -> Mapping[Key, float]:
        """The alerts that nobody has acknowledged."""
        return self._red_button.readings()

    def _presence(self, agent: str) -> str:
        seat = self._desk.floor.seats.get(agent)
        return "" if seat is None else seat.presence().value

    def _on_floor(self, agent: str) -> bool:
        seat = self._desk.floor.seats.get(agent)
        return seat is not None and not seat.removed

    def _open_exporter(self) -> None:
        """Answer Prometheus. A port that is taken costs the figures, not the calls."""
        if self._exporter is None:
            return
        address, port = self._settings.control_address, self._settings.metrics_port
        try:
            self._exporter.serve(address, port)
        except OSError as error:
            logger.error("metrics.no_port", port=port, error=str(error), effect="no Prometheus")

    def _export(self, state: LiveState, now: int) -> None:
        if self._exporter is not None:
            self._exporter.show_trunks(
                {
                    name: readings.there(trunk) if self._link.up else None
                    for name, trunk in self.trunk_states().items()
                }
            )
            self._exporter.show(
                state,
                now,
                ami_up=self._link.up,
                redis_up=not self._bus.away_for(now),
                backlog=self._diary.waiting,
                lost=self._diary.lost,
                callbacks=len(self._desk.floor.tasks),
            )

    async def _slow_readings(self, now: int) -> dict[Key, float | None]:
        found = await readings.slow(self, self._engine, self._settings, now)
        if self._exporter is not None:
            self._exporter.show_backlogs(*(found.get((name, "")) for name in readings.OF_BACKLOGS))
            hours = found.get(("listening_late", ""))
            self._exporter.unheard(None if hours is None else hours * HOUR / SECOND)
        return found

    def newest(self, now: int) -> LiveState:
        """The newest live state."""
        return self._shown.newest(now)

    def link_lost_for(self, now: int) -> int:
        """For how long the AMI link has been down (microseconds); 0 while it is up."""
        return 0 if self._link.up else now - self._recovery.link_lost_at

    def event_lag(self) -> tuple[int, int]:
        """When the last event came, and how late it was (microseconds)."""
        return self._lag

    def guesses(self, now: int) -> int:
        """How many SIP sign-ins were refused within the last minute."""
        return self._guesses.count(now)

    def pauses_too_long(self, now: int) -> int:
        """How many pauses of recordings have lately reached their limit, or cannot be ended."""
        return self._pauses.too_long(now)

    def clock_jump(self, now: int) -> float:
        """By how many seconds the clock jumped lately; 0 if it did not."""
        return self._jumps.look(now, time.monotonic())

    def not_recordable(self) -> str:
        """Why no call can be recorded now; empty if one can."""
        return self._tape.why

    def refusals(self, now: int) -> int:
        """How many AGI connections were refused within the last minute (`MOST_REFUSALS` at most)."""
        return sum(now - at < 60 * SECOND for at in self._refusals)

    def unknown_numbers(self, now: int) -> Mapping[str, int]:
        """Numbers that are not ours and that the trunk has dialled within the last hour → how often."""
        return self._refused_calls.unknown(now)

    def unwritten(self) -> int:
        """Facts that wait for an absent database, at least 1 while it is away."""
        return max(self._diary.waiting, 1) if self._diary.away else 0

    def redis_away_for(self, now: int) -> int:
        """For how long Redis has been away (microseconds)."""
        return self._bus.away_for(now)

    def open_tasks(self) -> Iterable[Task]:
        """The open callback tasks."""
        return self._desk.floor.tasks.values()

    def held_back(self, now: int) -> int:
        """Due callbacks that a cap on dialling holds back, and outside numbers that one kept out of a talk."""
        return self._desk.floor.held_back(now) + self._third_parties.capped(now)

    def emergencies(self, now: int) -> tuple[int, int]:
        """How many emergency services were lately called into talks, and how many calls there failed."""
        return self._emergencies.lately(now), self._emergencies.failed(now)

    def failing_phones(self) -> int:
        """Registered phones at which each of the last offers failed by itself."""
        return self._desk.floor.failing_phones()

    def missing_years(self, now: int) -> list[int]:
        """Years that opening hours need and no calendar has."""
        return self._in_force.missing_years(now)

    async def look_at_trunks(self) -> None:
        """Ask Asterisk for the state of the trunks. Says when that begins to fail, not each time."""
        before, self._trunks_unseen = self._trunks_unseen, ""
        try:
            await self._trunks.look()
        except LinkError as error:
            self._trunks_unseen = str(error)
            if before != self._trunks_unseen:
                logger.warning("trunks.not_seen", error=self._trunks_unseen)

    async def _read_trunks(self) -> None:
        """Go by the trunks that Asterisk has been given. Raises `TrunkError`."""
        settings = self._settings
        settings.take_trunks(settings.trunks_in_force() or ())
        self._trunks.follow(settings.named_trunks)
        self._refused_calls.follow(settings.all_trunks)
        self._outbound.enable(enabled=settings.calls_out)
        self._desk.floor.open_way_out(outbound=settings.calls_out, outside=settings.outside)
        # Numbers that were added later may come in by others of Asterisk's endpoints now.
        await self._in_force.announce_numbers()
        await self.look_at_trunks()
        logger.info("trunks.read", trunks=len(settings.named_trunks))

    def trunk_states(self) -> Mapping[str, TrunkState]:
        """What is known of each trunk of `trunks.toml`."""
        return self._trunks.states()

    async def outbound_answers(self) -> bool | None:
        """Whether the way out answers; None when that is not known. Raises `LinkError`."""
        return await self._switch.outbound_answers()
