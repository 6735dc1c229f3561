"""The SLA report as one page with pictures, for people: HTML in one file that loads nothing, and PDF of it.

The pictures are drawn here as coordinates, and put into the page as inline SVG by the template `report.html.j2`.
Chromium prints the PDF: it has the letters, the line breaks and the page breaks of Chinese text right.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from facts.times import local
from metrics.reports import sla as reports
from metrics.reports.sla import AgentFigures, SlaReport
from metrics.window import SHARES, SMALLEST_SAMPLE, WAITS, Metric, Tally

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Programs that print PDF, in the order in which they are looked for."""

PRINT_WITHIN = 60.0
"""Seconds that a browser may take."""

WIDTH, HEIGHT = 720, 220
_LEFT, _TOP, _RIGHT, _BOTTOM = 46, 12, 8, 26


class PrintError(Exception):
    """There is no PDF. The message says why and what to do."""


def template(file: Path) -> Template:
    """A page's template: what it is given is escaped, and what it is not given is an error."""
    return Environment(
        loader=FileSystemLoader(file.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(file.name)


def html(report: SlaReport, lang: str = "zh") -> str:
    """The page. Needs a report with `details`. Raises `ValueError` for an unknown language."""
    say = {**reports.words(lang), **words_of_page(lang)}
    shown = {
        name: {
            "title": say[name].format(short=report.short_abandon),
            "value": reports.shown(name, metric, say),
            "parts": f"{metric.numerator:.10g} / {metric.denominator}",
        }
        for name, metric in {**report.metrics, **report.callbacks.metrics}.items()
    }
    return template(Path(__file__).with_name("report.html.j2")).render(
        say=say,
        lang="zh-CN" if lang == "zh" else "en",
        since=f"{local(report.since):%Y-%m-%d %H:%M:%S}",
        until=f"{local(report.until):%Y-%m-%d %H:%M:%S}",
        only=[say[f"only_{name}"].format(value) for name, value in _only(report) if value],
        verdict=reports.verdict(report, say),
        state=report.verdict.name.lower(),
        missing=[one.zh if lang == "zh" else one.en for one in report.missing],
        lowest=reports.lowest_words(report.lowest, say),
        seal=reports.seal_words(report.seal, say)[1:],
        metrics=shown,
        outcomes=[(say[name.value], count) for name, count in report.outcomes.items()],
        pending=report.pending,
        total=sum(report.outcomes.values()),
        curve=_curve(report),
        rings=_rings(report.metrics["M4"]),
        waits=_waits(report),
        heat=_heat(report, say),
        agents=[_agent(one) for one in report.details.agents],
        queues=[
            (queue or "–", number or "–", _share(tally.metrics()["M1"]), tally.counted)
            for (queue, number), tally in sorted(report.details.queues.items())
            if tally.counted
        ],
        width=WIDTH,
        height=HEIGHT,
    )


def pdf(report: SlaReport, lang: str = "zh") -> bytes:
    """The page as PDF. Raises `PrintError`."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise PrintError(
            "there is no Chromium to print PDF with: install it (apt-get install chromium "
            "fonts-noto-cjk), or ask for --format html"
        )
    with tempfile.TemporaryDirectory(prefix="hotline-report-") as name:
        folder = Path(name)
        page, made = folder / "report.html", folder / "report.pdf"
        page.write_text(html(report, lang), encoding="utf-8")
        # The page is our own and loads nothing, so Chromium needs no sandbox; as root it would not start with one.
        command = [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *(f"--user-data-dir={folder / 'profile'}", "--no-pdf-header-footer"),
            *(f"--print-to-pdf={made}", page.as_uri()),
        ]
        try:
            done = subprocess.run(command, capture_output=True, timeout=PRINT_WITHIN, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PrintError(f"Chromium did not print: {error}") from error
        if not made.exists():
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no word"]
            raise PrintError(f"Chromium did not print (status {done.returncode}): {said[0]}")
        return made.read_bytes()


def _only(report: SlaReport) -> list[tuple[str, str]]:
    return [(name, getattr(report.only, name)) for name in ("number", "queue", "agent")]


def _share(metric: Metric) -> str:
    return reports.percent(metric)


def _curve(report: SlaReport) -> dict[str, Any] | None:
    """M1r against 95 %: polylines of enough calls, the scale down to the lowest of them, and the labels below."""
    points = [one for one in report.details.curve if one.metric.denominator >= SMALLEST_SAMPLE]
    if not points:
        return None
    values = [one.metric.value or 0.0 for one in points]
    least = min(0.9, int(min(values) * 10) / 10)
    span = max(1, report.until - report.since)

    def x(at: int) -> float:
        return round(_LEFT + (at - report.since) / span * (WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        return round(_TOP + (1 - value) / (1 - least) * (HEIGHT - _TOP - _BOTTOM), 1)

    polylines: list[list[str]] = []
    before = None
    step = report.details.curve[1].at - report.details.curve[0].at if len(points) > 1 else 1
    for point, value in zip(points, values, strict=True):
        if before is None or point.at - before > step:
            polylines.append([])
        polylines[-1].append(f"{x(point.at)},{y(value)}")
        before = point.at
    form = "%H:%M" if span <= 2 * 86_400_000_000 else "%m-%d"
    marks = [report.since + span * n // 6 for n in range(7)]
    return {
        "polylines": [" ".join(one) for one in polylines],
        "limit": y(0.95),
        "low": x(points[values.index(min(values))].at),
        "low_y": y(min(values)),
        "grid": [
            (y(v / 100), f"{v}%") for v in range(round(least * 100), 101, 5 if least > 0.6 else 20)
        ],
        "marks": [(x(at), format(local(at), form)) for at in marks],
    }


def _rings(m4: Metric) -> list[dict[str, Any]]:
    counts = m4.shares or (0, 0, 0, 0)
    most = max(1, *counts)
    return [
        {
            "name": name.replace(">=", "≥"),
            "count": count,
            "share": _share(Metric(count, m4.denominator)),
            "x": 60 + n * 165,
            "top": round(170 - 140 * count / most, 1),
            "tall": round(140 * count / most, 1),
        }
        for n, (name, count) in enumerate(zip(SHARES, counts, strict=True))
    ]


def _waits(report: SlaReport) -> dict[str, Any]:
    """Median and 90th percentile of the wait in each hour of the day, as exact as the histogram's steps allow."""
    by_hour = [Tally() for _ in range(24)]
    for begin, tally in report.details.hours.items():
        by_hour[local(begin + 1).hour].merge(tally)
    bars = []
    found = [(_percentile(one.waits(), 0.5), _percentile(one.waits(), 0.9)) for one in by_hour]
    most = max([10, *(int(high) for _, high in found if high is not None)])
    for hour, (middle, high) in enumerate(found):
        if middle is None or high is None:
            continue
        bars.append(
            {
                "hour": hour,
                "x": round(_LEFT + hour * (WIDTH - _LEFT - _RIGHT) / 24 + 2, 1),
                "middle": _tall(middle, most),
                "high": _tall(high, most),
                "says": f"{hour}:00  {middle:g} s / {high:g} s",
            }
        )
    return {"bars": bars, "most": most, "floor": HEIGHT - _BOTTOM, "top": _TOP}


def _tall(value: float, most: int) -> float:
    return round(min(value, most) / most * (HEIGHT - _TOP - _BOTTOM), 1)


def _percentile(counts: Sequence[int], share: float) -> float | None:
    """The bound below which that share of the waits lies; the last bound for what is beyond."""
    left = sum(counts) * share
    if not left:
        return None
    for bound, count in zip((*WAITS, WAITS[-1]), counts, strict=True):
        left -= count
        if left <= 0:
            return float(bound)
    return float(WAITS[-1])


def _heat(report: SlaReport, say: Mapping[str, str]) -> list[dict[str, Any]]:
    """Day × hour: the days themselves up to 31, else the days of the week."""
    days: dict[str, list[Tally]] = {}
    long = report.until - report.since > 31 * 86_400_000_000
    names = say["weekdays"].split(" ")
    if long:
        days = {name: [Tally() for _ in range(24)] for name in names}
    for begin, tally in sorted(report.details.hours.items()):
        moment = local(begin + 1)
        name = names[moment.weekday()] if long else f"{moment:%m-%d} {names[moment.weekday()]}"
        days.setdefault(name, [Tally() for _ in range(24)])[moment.hour].merge(tally)
    return [{"name": name, "cells": [_cell(one) for one in cells]} for name, cells in days.items()]


def _cell(tally: Tally) -> dict[str, Any]:
    m1 = tally.metrics()["M1"]
    if not m1.denominator:
        return {"shade": "none", "count": "", "says": ""}
    value = m1.value or 0.0
    shade = (
        "good" if value >= 0.95 else "fair" if value >= 0.9 else "poor" if value >= 0.8 else "bad"
    )
    return {"shade": shade, "count": m1.denominator, "says": _share(m1)}


def _agent(agent: AgentFigures) -> dict[str, Any]:
    found, counts = agent.metrics(), agent.counts.counts
    return {
        "number": agent.number,
        "handled": counts.get("handled", 0),
        "unanswered": counts.get("unanswered", 0),
        "callbacks": counts.get("attempts", 0),
        "m4": _share(found["M4"]),
        "m9": _seconds(found["M9"]),
        "m10": _share(found["M10"]),
        "m11": _share(found["M11"]),
        "m12": _share(found["M12"]),
        "m21": _share(found["M21"]),
        "unexplained": counts.get("unexplained", 0),
        "signed_in": _clock(counts.get("signed_in", 0)),
        "breaks": _clock(counts.get("approved", 0) + counts.get("unapproved", 0)),
    }


def _seconds(metric: Metric) -> str:
    return "–" if metric.value is None else f"{metric.value:.0f} s"


def _clock(length: int) -> str:
    minutes = length // 60_000_000
    return f"{minutes // 60}:{minutes % 60:02}"


def words_of_page(lang: str) -> dict[str, str]:
    """What stands on the page and in the workbook beside the report's own words."""
    return _TEXT[lang]


_TEXT = {
    "zh": {
        "curve": "滚动 24 小时接通率（M1r），红线为 95%",
        "ring_bars": "应答铃声分布（M4）",
        "waits": "各时段等待时间：中位数（深）与 90 分位（浅），秒",
        "heat": "日期 × 时段：接通率与来电数",
        "agents": "坐席",
        "queues": "队列与号码",
        "queue": "队列",
        "number": "号码",
        "handled": "接听",
        "unanswered": "未应答",
        "unexplained": "先挂机未说明",
        "callbacks_made": "回访",
        "signed_in": "签入时长",
        "breaks": "休息时长",
        "outcomes": "来电结果",
        "figures": "指标",
        "no_curve": "样本不足，无曲线。",
        "made_by": "由通话事实账逐条计算，可用 hotline metrics verify 复核。",
        "weekdays": "周一 周二 周三 周四 周五 周六 周日",
        "sheet_summary": "汇总",
        "sheet_hours": "小时",
        "sheet_agents": "坐席",
        "sheet_queues": "队列",
        "hour": "小时",
        "numerator": "分子",
        "denominator": "分母",
        "outcome": "结果",
        "from": "起",
        "to": "止",
        "verdict": "结论",
    },
    "en": {
        "curve": "Connection rate over rolling 24 hours (M1r); the red line is 95%",
        "ring_bars": "Answered in ring (M4)",
        "waits": "Waits by hour: median (dark) and 90th percentile (light), seconds",
        "heat": "Day × hour: connection rate and calls",
        "agents": "Agents",
        "queues": "Queues and numbers",
        "queue": "queue",
        "number": "number",
        "handled": "answered",
        "unanswered": "not answered",
        "unexplained": "left unexplained",
        "callbacks_made": "callbacks",
        "signed_in": "signed in",
        "breaks": "breaks",
        "outcomes": "Outcomes",
        "figures": "Figures",
        "no_curve": "Too few calls for a curve.",
        "made_by": "Counted from the diary of facts; `hotline metrics verify` counts it again.",
        "weekdays": "Mon Tue Wed Thu Fri Sat Sun",
        "sheet_summary": "summary",
        "sheet_hours": "hours",
        "sheet_agents": "agents",
        "sheet_queues": "queues",
        "hour": "hour",
        "numerator": "numerator",
        "denominator": "denominator",
        "outcome": "outcome",
        "from": "from",
        "to": "to",
        "verdict": "verdict",
    },
}
