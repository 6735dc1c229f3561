"""The score card: the seed's own words, exact sums, knock-outs, and files that cannot be used."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality import scorecard
from quality.scorecard import Deduction, ScoreCard, ScoreCardError, ScoreSheet
from speech import phrases

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "quality" / "scorecard.toml").read_text(encoding="utf-8")
CARD = scorecard.read(TEXT)
FIXTURES = ROOT / "tests" / "fixtures"
SEED = "\n".join(
    (FIXTURES / name).read_text(encoding="utf-8")
    for name in ("seed-003-phrases.txt", "seed-003-quality.txt")
)
COSTS = [one for one in CARD.items if not one.knock_out]
KNOCK_OUTS = [one for one in CARD.items if one.knock_out]


@st.composite
def sheets(draw: st.DrawFn, knock_outs: bool = False) -> ScoreSheet:
    gone = draw(st.sets(st.sampled_from([one.key for one in COSTS]), max_size=len(COSTS) - 1))
    off = [
        Deduction(one.key, points, draw(st.none() | st.floats(0, 600)))
        for one in COSTS
        if one.key not in gone and (points := draw(st.integers(0, one.points)))
    ]
    if knock_outs:
        one = draw(st.sampled_from(KNOCK_OUTS))
        off.append(Deduction(one.key, 0, 3.5, note="said"))
    return ScoreSheet(tuple(off), tuple(sorted(gone)))


def test_every_quotation_is_the_seeds_own() -> None:
    for one in CARD.items:
        assert one.quote, one.key
        assert one.quote in SEED, one.key
        assert one.source.startswith("003 "), one.key


def test_the_whole_list_of_forbidden_words_is_a_knock_out() -> None:
    item = CARD.item("forbidden-words")
    listed = SEED.partition("服务禁语")[2].partition("。")[0]
    assert item.knock_out
    assert len(item.phrases) == 12
    assert all(f"“{phrase}”" in listed for phrase in item.phrases)
    heard = phrases.read((ROOT / "speech" / phrases.FILE).read_text(encoding="utf-8"), "")
    assert item.phrases == tuple(one.text for one in heard.forbidden), "what transcripts look for"
    assert listed.count("“") == 12


def test_what_r57_forbids_is_scored() -> None:
    assert [one.key for one in CARD.items if "R57" in one.source] == [
        "passing-on",
        "promises",
        "quarrel",
    ]


@given(sheets())
def test_a_score_is_a_hundred_less_what_was_lost(sheet: ScoreSheet) -> None:
    made = scorecard.score(CARD, sheet)
    exact = 100 - sum(made.lost.values(), Fraction())
    assert 0 <= exact <= 100
    assert abs(made.total - exact * 100) <= Fraction(1, 2)
    assert made.knocked_out == ()


@given(sheets())
def test_taking_off_less_never_costs_more(sheet: ScoreSheet) -> None:
    fewer = replace(sheet, deductions=sheet.deductions[1:])
    assert scorecard.score(CARD, fewer).total >= scorecard.score(CARD, sheet).total


@given(sheets(knock_outs=True))
def test_a_knock_out_decides_over_the_whole_score(sheet: ScoreSheet) -> None:
    made = scorecard.score(CARD, sheet)
    assert made.total == 0
    assert made.knocked_out == (sheet.deductions[-1].item,)


@given(sheets(knock_outs=True))
def test_a_sheet_comes_back_from_the_database_as_it_was(sheet: ScoreSheet) -> None:
    assert scorecard.sheet_of(sheet.as_json()) == sheet


def test_a_full_and_an_empty_score() -> None:
    assert scorecard.score(CARD, ScoreSheet()).total == scorecard.FULL
    everything = ScoreSheet(tuple(Deduction(one.key, one.points) for one in COSTS))
    assert scorecard.score(CARD, everything).total == 0


def test_a_group_in_which_nothing_applies_leaves_its_weight_to_the_others() -> None:
    gone = tuple(one.key for one in COSTS if one.group == "words")
    sheet = ScoreSheet((Deduction("speech", 7),), gone)
    made = scorecard.score(CARD, sheet)
    # manner has 35 points, and weighs 35 of the 70 that are left: half of the score
    assert made.lost == {"speech": Fraction(50) * Fraction(7, 35)}
    assert made.total == 9000


def test_half_a_hundredth_is_rounded_up() -> None:
    assert scorecard.average([1, 2]) == 2
    assert scorecard.average([]) is None
    assert scorecard.average([9000, 8000, 0]) == 5667


@pytest.mark.parametrize(
    ("sheet", "said"),
    [
        (ScoreSheet((Deduction("smile", 1),)), "no item 'smile'"),
        (ScoreSheet((Deduction("greeting", 7),)), "7 points are taken off, and it has 6"),
        (ScoreSheet((Deduction("greeting", 4), Deduction("greeting", 4))), "8 points"),
        (ScoreSheet((Deduction("greeting", 0),)), "write 1 to 6"),
        (ScoreSheet((Deduction("greeting", 1),), ("greeting",)), "so it applies"),
        (ScoreSheet((Deduction("greeting", 1, -1.0),)), "in no recording"),
        (ScoreSheet((Deduction("quarrel"),)), "at which second"),
        (ScoreSheet((Deduction("quarrel", 5, 1.0),)), "no points"),
        (ScoreSheet((Deduction("forbidden-words", 0, 1.0),)), "which words"),
        (ScoreSheet((), ("quarrel",)), "always applies"),
        (ScoreSheet((), tuple(one.key for one in COSTS)), "nothing applies"),
        (ScoreSheet((Deduction("greeting", 1, note="x" * 501),)), "longer than 500"),
    ],
)
def test_a_sheet_that_does_not_fit_is_refused(sheet: ScoreSheet, said: str) -> None:
    with pytest.raises(ScoreCardError, match=said):
        scorecard.score(CARD, sheet)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"deductions": {}},
        {"extra": 1},
        {"deductions": [{"points": 1}]},
        {"deductions": [{"item": "greeting", "points": True}]},
        {"deductions": [{"item": "greeting", "points": "1"}]},
        {"deductions": [{"item": "greeting", "colour": 1}]},
        {"not_applicable": [1]},
    ],
)
def test_a_sheet_that_cannot_be_read_is_refused(value: object) -> None:
    with pytest.raises(ScoreCardError):
        scorecard.sheet_of(value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("weight = 30", "weight = 31", "make 100"),
        ("points = 6", "points = 0", "greeting: points: write 1 to 100"),
        ('group = "words"', 'group = "colour"', "no group 'colour'"),
        ('key = "confirm"', 'key = "greeting"', "greeting: two have this key"),
        ('key = "confirm"', 'key = "Not A Key"', "small letters"),
        ("passing = 80", "passing = 101", "passing"),
        ("passing = 80", "pass = 80", "pass: there is"),
        ("knock_out = true", "knock_out = true\npoints = 5", "a knock-out has no points"),
        ('zh = "服务用语"', "zh = 5", "zh: write a text"),
        ("[[group]]", "[group]", "scorecard.toml"),
    ],
)
def test_a_card_that_cannot_be_used_is_refused(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(ScoreCardError, match=said):
        scorecard.read(TEXT.replace(old, new, 1))


def test_a_version_is_what_is_in_the_card() -> None:
    def digest(text: str) -> str:
        return scorecard.read(text).digest

    assert digest(f"# a comment\n{TEXT}") == CARD.digest
    assert digest(TEXT.replace("passing = 80", "passing = 85")) != CARD.digest
    assert digest(TEXT.replace('"不行", ', "")) != CARD.digest


def test_an_unknown_item_is_named() -> None:
    with pytest.raises(ScoreCardError, match="no item 'x'"):
        _of(CARD, "x")


def _of(card: ScoreCard, key: str) -> scorecard.ScoreItem:
    return card.item(key)
