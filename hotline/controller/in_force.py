"""The rules in force: read from the database, given to floor, figures and Asterisk, asked for each new caller."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.rules import book as rulebook
from acd.rules.book import Block
from acd.rules.model import Rules
from acd.rules.text import Rulebook
from base import clock, database
from base.background import spawn
from base.settings import Settings
from facts.calendar import Calendar, make_calendar, read_years
from facts.terms import CONTINUE
from hotline.machine import render
from hotline.machine.programs import ProgramError
from ivr import hours, workdays
from ivr.reception import Reception, receive
from telephony.link import LinkError

log = structlog.get_logger(__name__)


class RulesInForce:
    """The rules, the block list and the calendar that hold now; those of before while the database is away.

    `apply` gives new rules to whoever goes by them. `reload` has Asterisk read its configuration again; None while the
    link is down. `may_be_called`: whether this caller may be called back. `recordable`: whether calls can be recorded.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        settings: Settings,
        apply: Callable[[Rules, Rulebook], None],
        reload: Callable[[], Callable[..., Awaitable[None]] | None],
        may_be_called: Callable[[str], bool] = lambda _: True,
        recordable: Callable[[], bool] = lambda: True,
    ) -> None:
        self.book = Rulebook()
        self.rules = self.book.rules(rulebook.defaults(settings), settings.numbers)
        self._engine = engine
        self._settings = settings
        self._apply = apply
        self._reload = reload
        self._may_be_called = may_be_called
        self._recordable = recordable
        self._blocked: Mapping[str, Block] = {}
        self._calendar = Calendar()
        # A controller that was killed may have written numbers that Asterisk has not read yet.
        self._unread = True

    async def read(self) -> None:
        """Take the rules from the database, at once and without a lost place."""
        try:
            book = await rulebook.read(self._engine)
            blocked = await rulebook.blocked(self._engine, clock.now())
            rules = book.rules(rulebook.defaults(self._settings), self._settings.numbers)
            shipped = read_years(workdays.SHIPPED.read_text(encoding="utf-8"))
            calendar = make_calendar(shipped, await rulebook.calendar(self._engine))
        except Exception as error:  # noqa: BLE001 a fault of ours is logged with its trace
            log.error("rules.away", effect="the rules of before hold", **database.told(error))
            return
        self.book, self.rules = book, rules
        self._blocked, self._calendar = blocked, calendar
        for year in self.missing_years(clock.now()):
            log.warning(
                "calendar.missing",
                year=year,
                effect="opening hours are provisional: Monday to Friday, no holidays",
                hint="import the year: hotline queue calendar FILE",
            )
        self._apply(rules, book)
        log.info("rules.read", queues=len(rules.queues), numbers=len(rules.numbers))
        await self.announce_numbers()

    async def announce_numbers(self) -> None:
        """Let Asterisk know the numbers that are not in the settings: they are answered without a restart."""
        numbers = frozenset(self.rules.numbers)
        try:
            changed = render.render_numbers(self._settings, numbers)
            more = numbers - set(self._settings.numbers)
            self._unread = changed or (self._unread and bool(more))
            if self._unread and (reload := self._reload()) is not None:
                await reload(*render.NUMBER_MODULES)
                self._unread = False
        except (ProgramError, LinkError) as error:
            log.error("numbers.not_told", error=str(error), effect="new numbers ring nowhere")

    def receive(self, number: str, caller: str, at: int) -> Reception:
        """How a caller is received by the rules in force; `at` in microseconds."""
        reception = receive(
            self.rules,
            self.book.hours,
            self._calendar,
            number,
            caller,
            at,
            blocked=lambda caller: caller in self._blocked and self._blocked[caller].in_force(at),
            calls_back=self._settings.calls_out,
            instead=CONTINUE if self._recordable() else self._settings.without_recording,
        )
        if reception.outside and not self._settings.calls_out:
            reception = replace(
                reception, outside=""
            )  # taken rather than lost; `hotline check` says so
        if reception.callback_key and caller and not self._may_be_called(caller):
            return replace(reception, callback_key="")  # no promise that would not be kept
        return reception

    @property
    def calendar(self) -> Calendar:
        """The working calendar that holds now."""
        return self._calendar

    def missing_years(self, now: int) -> list[int]:
        """The years that opening hours need soon and that no calendar has, the next one first."""
        return list(hours.missing_years(self.book.hours.values(), now, self._calendar))

    def count_blocked(self, caller: str) -> None:
        """Count in the background that the block list turned this caller away."""
        spawn(self._count_blocked(caller), "count blocked")

    async def _count_blocked(self, caller: str) -> None:
        try:
            await rulebook.count_blocked(self._engine, caller)
        except Exception as error:  # noqa: BLE001 a fault of ours is logged with its trace
            log.error("block.not_counted", **database.told(error))
