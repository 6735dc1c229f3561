"""The forms in which an SLA report can be had."""

from collections.abc import Callable
from dataclasses import dataclass

from metrics.reports import sla as reports
from metrics.reports.sla import SlaReport


@dataclass(frozen=True, slots=True)
class Format:
    """How a report is written down, in a language; `suffix` of its file. Most need a report with its details."""

    suffix: str
    make: Callable[[SlaReport, str], bytes]
    details: bool = True
    binary: bool = False


def _html(report: SlaReport, lang: str) -> bytes:
    from metrics.reports import page

    return page.html(report, lang).encode()


def _pdf(report: SlaReport, lang: str) -> bytes:
    from metrics.reports import page

    return page.pdf(report, lang)


def _xlsx(report: SlaReport, lang: str) -> bytes:
    from metrics.reports import sheets

    return sheets.xlsx(report, lang)


FORMATS: dict[str, Format] = {
    "text": Format("txt", lambda one, lang: reports.render_text(one, lang).encode(), details=False),
    "json": Format(
        "json", lambda one, _lang: (reports.render_json(one) + "\n").encode(), details=False
    ),
    "csv": Format("csv", lambda one, _lang: reports.render_csv(one).encode(), details=False),
    "xlsx": Format("xlsx", _xlsx, binary=True),
    "html": Format("html", _html),
    "pdf": Format("pdf", _pdf, binary=True),
}
"""By the name that `--format` takes."""
