"""Delivers a period's report to each target once: by mail, by webhook and as a file.

The table `delivery` has one row for each report, period and target. A run claims a row before it sends and marks it
afterwards. So it may be started any number of times, also twice at once: a delivered report is not delivered again, a
failed one is tried again. Only a run that was killed between sending and marking can make a target get a report twice:
after `CLAIM` another run takes over.
"""

import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import cast

from sqlalchemy import and_, exists, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine
from typing_extensions import TypedDict

from base import clock, notify
from base.files import put
from base.settings import Settings
from diary import tables as diary_tables
from facts.times import SECOND
from metrics.reports import sla as reports
from metrics.reports import tables as reports_tables
from metrics.reports.formats import FORMATS
from metrics.reports.period import Period
from metrics.reports.sla import SlaReport

CLAIM = 600 * SECOND
"""Microseconds that a run has for one target; longer than any message may take."""
WITHIN = 120.0
"""Seconds for one message with its attachments."""

Make = Callable[[Period], Awaitable[SlaReport]]


class DeliveryState(StrEnum):
    """What became of a report for one target."""

    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ReportTarget:
    """Where a report goes: an address of apprise, or a folder. `label` names it without secrets.

    `former`: the name under which an earlier version of this program entered what it delivered.
    """

    label: str
    url: str = ""
    folder: Path | None = None
    former: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a run did about one period and target. `error`: empty if all is well. `done`: this run delivered it."""

    period: str
    target: str
    done: bool
    error: str = ""


def targets(settings: Settings, folder: Path | None = None) -> list[ReportTarget]:
    """The settings' addresses and folder; `folder` instead of the latter. Each receiver once."""
    found: dict[str, ReportTarget] = {}
    for secret in settings.report_urls:
        url = secret.get_secret_value()
        label = notify.label(url)
        found.setdefault(label, ReportTarget(label, url=url, former=notify.former_label(url)))
    chosen = folder or settings.report_dir
    if chosen is not None:
        place = chosen.expanduser().absolute()
        label = notify.label(f"file:{place}")
        found.setdefault(label, ReportTarget(label, folder=place))
    return list(found.values())


async def deliver(
    engine: AsyncEngine,
    periods: Sequence[Period],
    wanted: Sequence[ReportTarget],
    make: Make,
    *,
    formats: Sequence[str],
    lang: str,
    again: bool = False,
) -> list[Delivered]:
    """Deliver the report of each period to each target that has not got it; `again`: also to those that have.

    The failure of one target does not keep the report from another. Raises what `make` raises.
    """
    for target in wanted:
        await _rename(engine, target)
    outcome: list[Delivered] = []
    for period in periods:
        open_: list[ReportTarget] = []
        for target in wanted:
            state = await _claim(engine, period.name, target.label, again=again)
            if state is None:
                open_.append(target)
            else:
                busy = "another run is at it" if state is DeliveryState.SENDING else ""
                outcome.append(Delivered(period.name, target.label, done=False, error=busy))
        if not open_:
            continue
        try:
            report = await make(period)
            files = {
                f"sla-{period.name}.{FORMATS[name].suffix}": FORMATS[name].make(report, lang)
                for name in formats
            }
            text = reports.render_text(report, lang=lang)
        except BaseException as error:
            for target in open_:
                await _mark(engine, period.name, target.label, f"no report: {type(error).__name__}")
            raise
        for target in open_:
            failed = await _bring(target, _title(report, period, lang), text, files)
            await _mark(engine, period.name, target.label, failed)
            outcome.append(Delivered(period.name, target.label, done=not failed, error=failed))
    return outcome


async def first_fact(engine: AsyncEngine) -> int:
    """When the diary begins (microseconds); now for an empty one. Earlier periods need no report."""
    async with engine.connect() as connection:
        at: int | None = await connection.scalar(select(func.min(diary_tables.diary.c.at)))
    return clock.now() if at is None else at


class DeliveryRow(TypedDict):
    """One report to one target, as the table has it. `updated_at`: microseconds. `note`: why it failed, or empty."""

    report: str
    period: str
    target: str
    state: str
    attempts: int
    updated_at: int
    note: str


async def log(engine: AsyncEngine, limit: int) -> list[DeliveryRow]:
    """The newest rows of the table, newest first."""
    question = (
        select(reports_tables.delivery)
        .order_by(reports_tables.delivery.c.updated_at.desc())
        .limit(limit)
    )
    async with engine.connect() as connection:
        rows = await connection.execute(question)
        return [cast("DeliveryRow", dict(row)) for row in rows.mappings()]


_REPORT = "sla"


async def _rename(engine: AsyncEngine, target: ReportTarget) -> None:
    """Give the rows of an earlier version the name of today, or all that was delivered would be delivered again."""
    if target.former in ("", target.label):
        return
    row, same = reports_tables.delivery.c, reports_tables.delivery.alias()
    there = exists().where(
        same.c.report == row.report, same.c.period == row.period, same.c.target == target.label
    )
    async with engine.begin() as connection:
        await connection.execute(
            update(reports_tables.delivery)
            .where(row.target == target.former, ~there)
            .values(target=target.label)
        )


async def _claim(
    engine: AsyncEngine, period: str, target: str, *, again: bool
) -> DeliveryState | None:
    """Take a row for this run: None when it is ours, else why not."""
    row = reports_tables.delivery.c
    key = and_(row.report == _REPORT, row.period == period, row.target == target)
    now = clock.now()
    dialect = postgresql if engine.dialect.name == "postgresql" else sqlite
    new = {
        "report": _REPORT,
        "period": period,
        "target": target,
        "state": DeliveryState.SENDING.value,
    }
    begin = dialect.insert(reports_tables.delivery).values(
        **new, attempts=1, updated_at=now, note=""
    )
    free = or_(
        row.state == DeliveryState.FAILED.value,
        and_(row.state == DeliveryState.SENDING.value, row.updated_at < now - CLAIM),
        *([row.state == DeliveryState.DELIVERED.value] if again else []),
    )
    retry = update(reports_tables.delivery).where(key, free)
    retry = retry.values(
        state=DeliveryState.SENDING.value, attempts=row.attempts + 1, updated_at=now
    )
    # Each transaction writes before it reads: of two runs at once the database lets only one through.
    for statement in (begin.on_conflict_do_nothing(), retry):
        async with engine.begin() as connection:
            if (await connection.execute(statement)).rowcount == 1:
                return None
    async with engine.connect() as connection:
        state: str = (await connection.execute(select(row.state).where(key))).scalar_one()
    return DeliveryState(state)


async def _mark(engine: AsyncEngine, period: str, target: str, error: str) -> None:
    row = reports_tables.delivery.c
    state = DeliveryState.FAILED if error else DeliveryState.DELIVERED
    async with engine.begin() as connection:
        await connection.execute(
            update(reports_tables.delivery)
            .where(row.report == _REPORT, row.period == period, row.target == target)
            .values(state=state.value, updated_at=clock.now(), note=error[:200])
        )


async def _bring(target: ReportTarget, title: str, text: str, files: Mapping[str, bytes]) -> str:
    """Give the report to one target. Gives an empty string, or why it failed."""
    try:
        if target.folder is not None:
            target.folder.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                put(target.folder / name, content)
            return ""
        with tempfile.TemporaryDirectory(prefix="hotline-report-") as folder:
            attached = [Path(folder) / name for name in files]
            for path in attached:
                path.write_bytes(files[path.name])
            return await notify.send(target.url, title, text, files=attached, within=WITHIN)
    except OSError as error:
        return f"{error.strerror or error}: {error.filename or ''}".removesuffix(": ")


_VERDICTS = {
    reports.Verdict.HOLDS: ("达标", "holds"),
    reports.Verdict.FALLS_SHORT: ("未达标", "falls short"),
    reports.Verdict.NONE: ("不作评定", "no verdict"),
}


def _title(report: SlaReport, period: Period, lang: str) -> str:
    zh, en = _VERDICTS[report.verdict]
    value = report.metrics["M1"].value
    rate = "–" if value is None else f"{value:.1%}"
    if lang == "zh":
        return f"[{zh}] 热线服务报告 {period.name}，接通率 {rate}"
    return f"[{en}] hotline report {period.name}, connection rate {rate}"
