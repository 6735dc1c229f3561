"""The monthly card: each figure is the sum of the calls that stand behind it, in every form."""

import csv
import io
import json
import re
from fractions import Fraction
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality import monthly, scorecard, shown
from quality.monthly import Assessed, MonthlyCard
from quality.states import COUNTS, AssessmentState

ROOT = Path(__file__).resolve().parent.parent.parent
CARD = scorecard.read((ROOT / "quality" / "scorecard.toml").read_text(encoding="utf-8"))
ITEMS = [one.key for one in CARD.items if not one.knock_out]


@st.composite
def months(draw: st.DrawFn) -> list[Assessed]:
    rows = []
    for number in range(draw(st.integers(0, 12))):
        state = draw(st.sampled_from(AssessmentState))
        scored = state in COUNTS
        knocked = scored and draw(st.booleans())
        score = (0 if knocked else draw(st.integers(0, 10_000))) if scored else None
        losses = st.dictionaries(
            st.sampled_from(ITEMS), st.fractions(Fraction(1, 9), 9), max_size=4
        )
        lost = draw(losses) if scored else {}
        at = 1_763_731_200_000_000 + draw(st.integers(0, 10**12))
        rows.append(
            Assessed(
                *(number + 1, f"hotline-1763731200.{number}", "1001", at, state, score),
                first=score,
                passing=8000,
                lost=lost,
                knocked_out=("quarrel",) if knocked else (),
            )
        )
    return rows


@given(months())
def test_every_sum_is_that_of_its_calls(rows: list[Assessed]) -> None:
    card = monthly.card("1001", "2026-11", rows)
    by_id = {one.id: one for one in rows}
    for figure in card.figures:
        assert all(by_id[one.id] == one for one in figure.of)
        if figure.name == monthly.AVERAGE:
            scores = [one.score for one in figure.of if one.score is not None]
            assert figure.value == scorecard.average(scores)
            assert len(scores) == len(figure.of) == card.figure("assessed").value
        else:
            assert figure.value == len(figure.of) == len(figure.calls)
    parts = ("assessed", "waiting", "returned")
    assert card.figure("drawn").value == sum(card.figure(name).value or 0 for name in parts)
    parts = ("undecided", "upheld", "changed")
    assert card.figure("appeals").value == sum(card.figure(name).value or 0 for name in parts)
    for item in card.lost:
        assert item.points == sum(one.lost.get(item.item, Fraction()) for one in item.of)
    lost = sum((item.points for item in card.lost), Fraction())
    assert lost == sum((sum(one.lost.values(), Fraction()) for one in rows), Fraction())


def _card() -> MonthlyCard:
    at, call = 1_763_731_200_000_000, "hotline-1763731200.{}"
    states = AssessmentState
    lost = {"greeting": Fraction(5), "speech": Fraction(10, 3)}
    return monthly.card(
        "1001",
        "2025-11",
        [
            Assessed(1, call.format(1), "1001", at, states.SCORED, 9167, 9167, 8000, lost),
            Assessed(2, call.format(2), "1001", at + 1, states.CHANGED, 9500, 0, 8000, {"greeting": Fraction(5)}),
            Assessed(3, call.format(3), "1001", at + 2, states.APPEALED, 0, 0, 8000, {}, ("quarrel",)),
            Assessed(4, call.format(4), "1001", at + 3, states.ASSIGNED),
        ],
    )  # fmt: skip


def test_a_month_by_hand() -> None:
    values = {one.name: one.value for one in _card().figures}
    assert values == {
        "drawn": 4,
        "assessed": 3,
        "average": 6222,
        "waiting": 1,
        "returned": 0,
        "passed": 2,
        "knocked_out": 1,
        "appeals": 2,
        "undecided": 1,
        "upheld": 0,
        "changed": 1,
    }
    assert [(one.item, float(one.points), len(one.of)) for one in _card().lost] == [
        ("greeting", 10.0, 2),
        ("speech", pytest.approx(10 / 3), 1),
        ("quarrel", 0.0, 1),
    ]


def test_in_csv_the_rows_of_a_figure_are_its_sum() -> None:
    made = shown.FORMS["csv"].make(_card(), CARD, "zh").decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(made)))
    for name in ("drawn", "assessed", "passed", "appeals", "changed"):
        mine = [one for one in rows if one["figure"] == name]
        assert {one["value"] for one in mine} == {str(len([one for one in mine if one["call"]]))}
    mine = [one for one in rows if one["figure"] == "lost:greeting"]
    assert sum(float(one["points"]) for one in mine) == float(mine[0]["value"]) == 10


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_in_the_workbook_the_sums_are_formulas_over_the_calls(lang: str) -> None:
    made = shown.FORMS["xlsx"].make(_card(), CARD, lang)
    formulas = openpyxl.load_workbook(io.BytesIO(made))
    values = openpyxl.load_workbook(io.BytesIO(made), data_only=True)
    summary, calls = formulas.worksheets
    heads = [cell.value for cell in calls[1]]
    for row in range(3, 3 + len(_card().figures)):
        name, formula = summary.cell(row, 1).value, summary.cell(row, 2).value
        column = re.search(r"!([A-Z]+)2:\1(\d+)\)", str(formula))
        assert column
        assert int(column[2]) == len(_card().rows) + 1
        cells = [cell.value for cell in calls[column[1]][1:] if cell.value is not None]
        assert heads[openpyxl.utils.column_index_from_string(column[1]) - 1] == name
        shown_value = values.worksheets[0].cell(row, 2).value
        if "AVERAGE" in str(formula):
            assert shown_value == pytest.approx(sum(cells) / len(cells), abs=0.005)
        else:
            assert shown_value == sum(cells)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_on_the_page_each_figure_leads_to_its_calls(lang: str) -> None:
    page = shown.FORMS["html"].make(_card(), CARD, lang).decode()
    for number in (1, 2, 3, 4):
        assert f'id="a{number}"' in page
        assert f'href="#a{number}"' in page
    assert {*re.findall(r'href="#a(\d+)"', page)} == {*re.findall(r'id="a(\d+)"', page)}
    assert "62.22" in page


def test_text_and_json() -> None:
    said = shown.text(_card(), CARD, "zh")
    assert "平均分: 62.22" in said
    assert "接通服务语: -10.00 (hotline-1763731200.1, hotline-1763731200.2)" in said
    assert "average score: 62.22" in shown.text(_card(), CARD, "en")
    made = json.loads(shown.FORMS["json"].make(_card(), CARD, "zh"))
    assert made["figures"]["appeals"]["calls"] == [
        "hotline-1763731200.2",
        "hotline-1763731200.3",
    ]
    assert made["assessments"][1]["first_score"] == 0


def test_an_empty_month_has_no_average() -> None:
    card = monthly.card("1001", "2026-11", [])
    assert card.figure(monthly.AVERAGE).value is None
    for form in shown.FORMS.values():
        assert form.make(card, CARD, "zh")
    assert "–" in shown.text(card, CARD, "zh")
