"""Years of the Chinese working calendar (R8), as an operator imports them."""

import json
from pathlib import Path

import pytest

from facts.calendar import CalendarError, read_years


def test_a_year_of_the_calendar() -> None:
    text = '{"2027": {"holidays": ["2027-01-02", "2027-01-01"], "makeup_workdays": []}}'
    assert read_years(text) == {
        "2027": {"holidays": ["2027-01-01", "2027-01-02"], "makeup_workdays": []}
    }


def test_all_that_is_wrong_about_a_calendar() -> None:
    text = """{"27": {}, "2027": {"holidays": ["2027-02-30", "2026-01-01", 3, null]},
        "2028": {"holidays": ["2028-02-30", "2027-01-01", 3, "20280101"], "makeup_workdays": []},
        "2029": {"holidays": ["2029-01-01"], "makeup_workdays": ["2029-01-01"]}}"""
    with pytest.raises(CalendarError) as error:
        read_years(text)
    assert len(error.value.problems) == 1 + 1 + 4 + 1
    for text in ("", "[]", "{}", "null", '{"2027": 3}'):
        with pytest.raises(CalendarError):
            read_years(text)


def test_the_years_that_come_with_the_program() -> None:
    text = (Path(__file__).parents[2] / "ivr" / "cn-workdays.json").read_text()
    years = read_years(text)
    assert years == json.loads(text)
    assert "2026-02-14" in years["2026"]["makeup_workdays"]
    assert "2026-02-16" in years["2026"]["holidays"]
