"""The monthly card in several forms. In the workbook the sums are formulas over the sheet of calls.

In CSV and HTML each figure stands with the calls that it is made of.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from facts.times import local
from quality.monthly import AVERAGE, Assessed, MonthFigure, MonthlyCard
from quality.scorecard import ScoreCard


@dataclass(frozen=True, slots=True)
class CardForm:
    """How a monthly card is written down, in a language: suffix and media type of its file."""

    suffix: str
    media_type: str
    make: Callable[[MonthlyCard, ScoreCard, str], bytes]
    binary: bool = False


def points(hundredths: int | None) -> str:
    """A score for people: 8750 → `87.50`, None → `–`."""
    return "–" if hundredths is None else f"{hundredths // 100}.{hundredths % 100:02}"


def item_name(card: ScoreCard, key: str, lang: str) -> str:
    """An item's name. One of an earlier version of the card has its key."""
    found = next((one for one in card.items if one.key == key), None)
    return key if found is None else found.zh if lang == "zh" else found.en


def _value(figure: MonthFigure) -> str:
    return points(figure.value) if figure.name == AVERAGE else str(figure.value)


def _lost_points(value: Fraction) -> float:
    return round(float(value), 2)


def text(made: MonthlyCard, card: ScoreCard, lang: str) -> str:
    """For the terminal: figures, items, and the calls."""
    say = WORDS[lang]
    lines = [say["title"].format(agent=made.agent, month=made.month)]
    lines += [f"  {say[one.name]}: {_value(one)}" for one in made.figures]
    if made.lost:
        lines.append(say["lost"])
    lines += [
        f"  {item_name(card, one.item, lang)}: -{_lost_points(one.points):.2f} "
        f"({', '.join(each.call for each in one.of)})"
        for one in made.lost
    ]
    lines.append(say["calls"])
    lines += [
        f"  {one.id}  {local(one.arrived):%Y-%m-%d %H:%M}  {one.call}  {say[one.state.value]}  {points(one.score)}"
        for one in made.rows
    ]
    return "\n".join(lines) + "\n"


def as_json(made: MonthlyCard) -> dict[str, object]:
    """For programs: each figure with `value` and the ids of its calls; scores in hundredths of a point."""
    return {
        "agent": made.agent,
        "month": made.month,
        "figures": {one.name: {"value": one.value, "calls": one.calls} for one in made.figures},
        "lost": [
            {
                "item": one.item,
                "points": _lost_points(one.points),
                "calls": [each.call for each in one.of],
            }
            for one in made.lost
        ],
        "assessments": [_row_json(one) for one in made.rows],
    }


def _row_json(one: Assessed) -> dict[str, object]:
    return {
        "id": one.id,
        "call": one.call,
        "arrived": one.arrived,
        "state": one.state.value,
        "score": one.score,
        "first_score": one.first,
        "lost": {name: _lost_points(lost) for name, lost in one.lost.items()},
        "knocked_out": list(one.knocked_out),
    }


def _json(made: MonthlyCard, _card: ScoreCard, _lang: str) -> bytes:
    return (json.dumps(as_json(made), ensure_ascii=False, indent=1) + "\n").encode()


def _csv(made: MonthlyCard, _card: ScoreCard, _lang: str) -> bytes:
    """One row a figure and call: so the rows of a figure are its sum."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["agent", "month", "figure", "value", "assessment", "call", "score", "points"])
    about = (made.agent, made.month)
    for figure in made.figures:
        value = points(figure.value) if figure.name == AVERAGE else figure.value
        rows = [[str(one.id), one.call, points(one.score), ""] for one in figure.of]
        for row in rows or [[""] * 4]:
            writer.writerow([*about, figure.name, value, *row])
    for item in made.lost:
        for one in item.of:
            lost = f"{_lost_points(one.lost.get(item.item, Fraction())):.2f}"
            total = f"{_lost_points(item.points):.2f}"
            row = [str(one.id), one.call, points(one.score), lost]
            writer.writerow([*about, f"lost:{item.item}", total, *row])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _html(made: MonthlyCard, card: ScoreCard, lang: str) -> bytes:
    from metrics.reports.page import template  # which loads much that the other forms do not need

    say = WORDS[lang]
    page = template(Path(__file__).with_name("card.html.j2")).render(
        say=say,
        lang="zh-CN" if lang == "zh" else "en",
        title=say["title"].format(agent=made.agent, month=made.month),
        figures=[(say[one.name], _value(one), one.of) for one in made.figures],
        lost=[
            (item_name(card, one.item, lang), f"{_lost_points(one.points):.2f}", one.of)
            for one in made.lost
        ],
        rows=[
            {
                "id": one.id,
                "arrived": f"{local(one.arrived):%Y-%m-%d %H:%M}",
                "call": one.call,
                "state": say[one.state.value],
                "score": points(one.score),
                "first": points(one.first),
            }
            for one in made.rows
        ],
    )
    return page.encode()


def _xlsx(made: MonthlyCard, card: ScoreCard, lang: str) -> bytes:
    """The figures are formulas over the sheet of calls, so that a reader can follow each of them."""
    import xlsxwriter

    say = WORDS[lang]
    out = io.BytesIO()
    options = {"strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(out, options) as book:
        bold = book.add_format({"bold": True})
        summary, calls = book.add_worksheet(say["sheet_card"]), book.add_worksheet(say["calls"])
        _sheet_of_calls(calls, made, card, lang, bold)
        summary.set_column(0, 0, 28)
        summary.write(0, 0, say["title"].format(agent=made.agent, month=made.month), bold)
        last = max(2, len(made.rows) + 1)
        for number, one in enumerate(made.figures):
            column = _letter(_FIXED + number)
            cells = f"'{say['calls']}'!{column}2:{column}{last}"
            summary.write(number + 2, 0, say[one.name])
            if one.name == AVERAGE:
                value = "" if one.value is None else one.value / 100
                formula = f'=IF(COUNT({cells})=0,"",ROUND(AVERAGE({cells}),2))'
            else:
                value, formula = one.value or 0, f"=SUM({cells})"
            summary.write_formula(number + 2, 1, formula, None, value)
        start = len(made.figures) + 3
        summary.write(start, 0, say["lost"], bold)
        for number, item in enumerate(made.lost):
            column = _letter(_FIXED + len(made.figures) + number)
            cells = f"'{say['calls']}'!{column}2:{column}{last}"
            summary.write(start + 1 + number, 0, item_name(card, item.item, lang))
            summary.write_formula(
                start + 1 + number, 1, f"=ROUND(SUM({cells}),2)", None, _lost_points(item.points)
            )
    return out.getvalue()


_FIXED: Final = 4
"""Columns before those of the figures: id, time, call, state."""


def _letter(column: int) -> str:
    from xlsxwriter.utility import xl_col_to_name

    return str(xl_col_to_name(column))


def _sheet_of_calls(sheet: Any, made: MonthlyCard, card: ScoreCard, lang: str, bold: Any) -> None:
    say = WORDS[lang]
    sheet.set_column(1, 2, 26)
    head = [say["id"], say["arrived"], say["call"], say["state"]]
    head += [say[one.name] for one in made.figures]
    head += [item_name(card, item.item, lang) for item in made.lost]
    for column, title in enumerate(head):
        sheet.write(0, column, title, bold)
    for number, one in enumerate(made.rows, 1):
        sheet.write(number, 0, one.id)
        sheet.write_string(number, 1, f"{local(one.arrived):%Y-%m-%d %H:%M}")
        sheet.write_string(number, 2, one.call)
        sheet.write_string(number, 3, say[one.state.value])
        for column, figure in enumerate(made.figures, _FIXED):
            if figure.name == AVERAGE:
                if one.score is not None:
                    sheet.write(number, column, one.score / 100)
            else:
                sheet.write(number, column, int(one in figure.of))
        for column, item in enumerate(made.lost, _FIXED + len(made.figures)):
            sheet.write(number, column, float(one.lost.get(item.item, Fraction())))


def _text(made: MonthlyCard, card: ScoreCard, lang: str) -> bytes:
    return text(made, card, lang).encode()


FORMS: Final[Mapping[str, CardForm]] = {
    "text": CardForm("txt", "text/plain; charset=utf-8", _text),
    "json": CardForm("json", "application/json", _json),
    "csv": CardForm("csv", "text/csv; charset=utf-8", _csv),
    "xlsx": CardForm(
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _xlsx,
        binary=True,
    ),
    "html": CardForm("html", "text/html; charset=utf-8", _html),
}
"""By the name that `--format` takes."""

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "zh": {
        "title": "话务员 {agent} 质检月报 {month}",
        "sheet_card": "月报",
        "drawn": "抽检通数",
        "assessed": "已评分",
        "average": "平均分",
        "waiting": "待评分",
        "passed": "合格",
        "knocked_out": "一票否决",
        "appeals": "申诉",
        "undecided": "申诉待处理",
        "lost": "失分项目",
        "calls": "通话明细",
        "id": "质检编号",
        "arrived": "来电时间",
        "call": "通话",
        "state": "状态",
        "score": "得分",
        "first": "初评得分",
        "assigned": "待评分",
        "returned": "已退回",
        "scored": "已评分",
        "appealed": "申诉中",
        "upheld": "维持原分",
        "changed": "改判",
    },
    "en": {
        "title": "quality of agent {agent}, {month}",
        "sheet_card": "Card",
        "drawn": "talks drawn",
        "assessed": "assessed",
        "average": "average score",
        "waiting": "not assessed yet",
        "passed": "passed",
        "knocked_out": "knocked out",
        "appeals": "appeals",
        "undecided": "appeals not decided",
        "lost": "Points lost by item",
        "calls": "Calls",
        "id": "assessment",
        "arrived": "arrived",
        "call": "call",
        "state": "state",
        "score": "score",
        "first": "first score",
        "assigned": "to be assessed",
        "returned": "returned",
        "scored": "assessed",
        "appealed": "appealed",
        "upheld": "upheld",
        "changed": "changed",
    },
}
"""What is said, by language."""
