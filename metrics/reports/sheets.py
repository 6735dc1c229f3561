"""The SLA report as a workbook (XLSX): summary, hours, agents, queues. Rows are written as they come."""

import io
from typing import Any

import xlsxwriter

from facts.terms import Grade
from facts.times import local
from metrics.reports import page
from metrics.reports import sla as reports
from metrics.reports.sla import SlaReport
from metrics.window import SHARES, WAITS, Metric, Tally


def xlsx(report: SlaReport, lang: str = "zh") -> bytes:
    """The workbook. Needs a report with `details`. Raises `ValueError` for an unknown language."""
    say = {**reports.words(lang), **page.words_of_page(lang)}
    out = io.BytesIO()
    # Some of the text came over the telephone: a spreadsheet must not read it as a formula or a link.
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(out, options) as book:
        bold = book.add_format({"bold": True})
        share = book.add_format({"num_format": "0.00%"})
        moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        why = [one.zh if lang == "zh" else one.en for one in report.missing]
        _summary(book.add_worksheet(say["sheet_summary"]), report, say, why, bold, share)
        _hours(book.add_worksheet(say["sheet_hours"]), report, say, bold, share, moment)
        _agents(book.add_worksheet(say["sheet_agents"]), report, say, bold, share)
        _queues(book.add_worksheet(say["sheet_queues"]), report, say, bold, share)
    return out.getvalue()


def _summary(
    sheet: Any, report: SlaReport, say: dict[str, str], why: list[str], bold: Any, share: Any
) -> None:
    """`why`: why the data are not complete, in the reader's language."""
    sheet.set_column(0, 0, 12)
    sheet.set_column(1, 1, 40)
    sheet.set_column(2, 4, 14)
    rows: list[tuple[Any, ...]] = [
        (say["title"],),
        (say["from"], f"{local(report.since):%Y-%m-%d %H:%M:%S}"),
        (say["to"], f"{local(report.until):%Y-%m-%d %H:%M:%S}"),
        (say["verdict"], reports.verdict(report, say)),
        *((say["missing"].format(one),) for one in why),
        *((say[name], getattr(report.only, name)) for name in ("queue", "number", "agent")),
    ]
    heading = len(rows)
    rows.append(("ID", say["metric"], say["value"], say["numerator"], say["denominator"]))
    for name, metric in {**report.metrics, **report.callbacks.metrics}.items():
        title = say[name].format(short=report.short_abandon)
        rows.append((name, title, metric.value, metric.numerator, metric.denominator))
        for ring, count in zip(SHARES, metric.shares or (), strict=False):
            part = Metric(count, metric.denominator)
            rows.append(("", say["ring"].format(ring), part.value, count, part.denominator))
    rows.append((say["outcome"],))
    rows += [(name.value, say[name.value], count) for name, count in report.outcomes.items()]
    rows.append(("pending", say["pending"], report.pending))
    rows += [(line,) for line in reports.seal_words(report.seal, say)[1:]]
    for number, row in enumerate(rows):
        figure = len(row) == 5 and row[0] not in reports.IN_SECONDS
        for column, cell in enumerate(row):
            style = share if column == 2 and figure else bold if number in (0, heading) else None
            sheet.write(number, column, cell, style)


def _hours(
    sheet: Any, report: SlaReport, say: dict[str, str], bold: Any, share: Any, moment: Any
) -> None:
    sheet.set_column(0, 0, 18)
    names = ("M1", "M2", "M4", "M5", "M8")
    head = [say["hour"], say["calls"], *names, "M7", *(f"≤{bound} s" for bound in _bounds())]
    for column, cell in enumerate(head):
        sheet.write(0, column, cell, bold)
    for row, (begin, tally) in enumerate(sorted(report.details.hours.items()), 1):
        found = tally.metrics()
        sheet.write_datetime(row, 0, local(begin).replace(tzinfo=None), moment)
        sheet.write(row, 1, tally.counted)
        for column, name in enumerate(names, 2):
            sheet.write(row, column, found[name].value, share)
        sheet.write(row, 7, found["M7"].value)
        for column, count in enumerate(tally.waits(), 8):
            sheet.write(row, column, count)


def _bounds() -> list[str]:
    return [*(str(bound) for bound in WAITS), "∞"]


def _agents(sheet: Any, report: SlaReport, say: dict[str, str], bold: Any, share: Any) -> None:
    grades = tuple(grade.value for grade in Grade)
    counts = ("handled", "unanswered", "attempts", "left", "unexplained", "invited", *grades)
    lengths = ("talk", "wrap_up", "outbound", "signed_in", "approved", "unapproved")
    names = ("M4", "M9", "M10", "M11", "M12", "M12_strict", "M21", "M23")
    head = [say["agent"], *counts, *(f"{name} (s)" for name in lengths), *names]
    for column, title in enumerate(head):
        sheet.write(0, column, title, bold)
    for row, agent in enumerate(report.details.agents, 1):
        found, metrics = agent.counts.counts, agent.metrics()
        cells: list[str | float] = [agent.number, *(found.get(name, 0) for name in counts)]
        cells += [found.get(name, 0) / 1_000_000 for name in lengths]
        for column, cell in enumerate(cells):
            sheet.write(row, column, cell)
        for column, name in enumerate(names, len(cells)):
            sheet.write(row, column, metrics[name].value, None if name == "M9" else share)


def _queues(sheet: Any, report: SlaReport, say: dict[str, str], bold: Any, share: Any) -> None:
    names = ("M1", "M2", "M4", "M5", "M5a", "M8", "M11", "M12", "M12_strict", "M21")
    for column, name in enumerate([say["queue"], say["number"], say["calls"], *names]):
        sheet.write(0, column, name, bold)
    shown = ((key, one) for key, one in sorted(report.details.queues.items()) if _any(one))
    for row, ((queue, number), tally) in enumerate(shown, 1):
        found = tally.metrics()
        for column, cell in enumerate((queue, number, tally.counted)):
            sheet.write(row, column, cell)
        for column, name in enumerate(names, 3):
            sheet.write(row, column, found[name].value, share)


def _any(tally: Tally) -> bool:
    return tally.ended + tally.pending > 0
