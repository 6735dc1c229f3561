"""`hotline simulate` and `hotline staff`: their figures, files and refusals."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from acd.rules.model import DEFAULT, Queue, Rules
from diary import tables
from facts import Fact, details
from facts.times import DAY, local
from hotline.cli.main import app
from metrics.fold import record_of
from metrics.window import Metric, Rolling, Tally
from planning import simulation, staffing, workers
from planning.simulator import BEGIN, HOUR, Length, Scenario, Shape, simulate
from planning.staffing import Demand, Measured, Target, from_csv, from_history, staff
from planning.workers import Workers

RULES = Rules(queues={DEFAULT: Queue(wrap_up_time=5)})
DAY_OF_CALLS = tuple([4.0] * 7 + [60.0] * 11 + [20.0] * 6)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path / "home"))


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.stdout, done.stderr


# --- simulate


def test_simulate_prints_the_same_object_for_the_same_seed() -> None:
    words = ("simulate", "--calls", "2000", "--callbacks-per-hour", "20", "--format", "json")
    status, out, said = run(*words, "--seed", "5")
    found = json.loads(out)
    assert status == 0
    assert found["simulation"]["calls"] == sum(found["outcomes"].values()) == 2000
    assert found["simulation"]["callbacks"]["added"] > 0
    assert "2,000 calls in" in said
    assert run(*words, "--seed", "5")[1] == out
    assert run(*words, "--seed", "6")[1] != out


def test_simulated_figures_are_those_of_the_report() -> None:
    plan = Scenario(per_hour=(300.0,), agents=(14,), answer_after=Length(3.0))
    tally = Tally()

    def add(facts: list[Fact]) -> None:
        record = record_of(facts)
        assert record is not None
        tally.add(record)

    totals = simulate(plan, RULES, add, seed=2, calls=3000)
    tally.count([("wrap_up", totals.wrapping_up)])
    report = simulation.run(plan, RULES, seed=2, calls=3000).report
    metrics = dict(report.metrics)
    assert metrics.pop("M1r").denominator
    assert metrics | {"M23": Metric(0, tally.connected)} == tally.metrics()


def test_rolling_figure_of_days_long_gone_is_right() -> None:
    # One bad night early on: what is kept of it must survive until the end.
    agents = tuple([6] * 24 + [1] * 24 + [6] * 120)
    plan = Scenario(per_hour=(40.0,), agents=agents)
    report = simulation.run(plan, RULES, hours=168.0).report
    whole = Rolling(origin=BEGIN)

    def add(facts: list[Fact]) -> None:
        record = record_of(facts)
        assert record is not None
        whole.add(record)

    simulate(plan, RULES, add, hours=168.0)
    assert report.lowest == whole.lowest(report.since, report.until)
    assert report.metrics["M1r"] == whole.metric(report.until)
    assert report.lowest is not None
    assert BEGIN + 24 * HOUR < report.lowest.at <= BEGIN + 72 * HOUR


@pytest.mark.parametrize(("lang", "title"), [("zh", "热线服务水平报告"), ("en", "service level")])
def test_simulate_prints_the_report_for_people(lang: str, title: str) -> None:
    status, out, _ = run(
        *("simulate", "--hours", "3", "--per-hour", "100", "--agents", "8", "--lang", lang),
        *("--callbacks-per-hour", "10"),
    )
    assert status == 0
    assert title in out
    assert "M10" in out


def test_status_follows_m1_when_asked_for() -> None:
    words = ("simulate", "--calls", "500", "--per-hour", "60", "--ring", "1")
    assert run(*words, "--agents", "9", "--fail-under", "90")[0] == 0
    assert run(*words, "--agents", "1", "--fail-under", "90")[0] == 1
    assert run(*words, "--agents", "1")[0] == 0


def test_profiles_of_the_day() -> None:
    status, out, _ = run(
        *("simulate", "--hours", "24", "--per-hour", "9-12=100,14=50", "--agents", "8-18=9"),
        *("--format", "json"),
    )
    assert status == 0
    assert json.loads(out)["simulation"]["calls"] == pytest.approx(350, rel=0.3)


def test_rules_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text("[queue.default]\nlongest_queue = 1\n", encoding="utf-8")
    words = ("simulate", "--calls", "500", "--agents", "5", "--format", "json")
    full = json.loads(run(*words, "--rules", str(path))[1])["outcomes"]["queue_full"]
    assert full > 0
    assert json.loads(run(*words)[1])["outcomes"]["queue_full"] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--calls 0", "give 1 or more"),
        ("--calls 5 --hours 3", "either"),
        ("--hours inf", "give more than 0"),
        ("--agents 3.5", "whole"),
        ("--agents 1,2", "there are 2 values"),
        ("--per-hour 25-26=3", "write hours as"),
        ("--per-hour 8-7=3", "write hours as"),
        ("--per-hour -5", "0 or more"),
        ("--per-hour 0", "no calls ever come"),
        ("--patience soon", "0 or more"),
        ("--patience 0", "more than 0"),
        ("--reached 0.5", "such as 95%"),
        ("--reached 101%", "such as 95%"),
        ("--talk nan", "talk"),
        ("--wrap-up -1", "0 seconds or more"),
        ("--number abc", "12345=3"),
        ("--number 12345=0", "no number"),
        ("--rules nowhere.toml", "nowhere.toml"),
        ("--fail-under 101", "percentage"),
        ("--format csv", "there is"),
        ("--lang fr", "there is"),
        ("--check --calls 10", "1000 or more"),
    ],
)
def test_simulate_refuses(words: str, said: str) -> None:
    status, out, error = run("simulate", *words.split())
    assert (status, out) == (2, "")
    assert error.startswith("hotline: ")
    assert said in error


def test_rules_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    for text, said in (("queue = [", "TOML"), ("[queue.default]\nlength = 3\n", "length")):
        path.write_text(text, encoding="utf-8")
        status, _, error = run("simulate", "--rules", str(path))
        assert status == 2
        assert said in error


def test_check_compares_with_erlang_a() -> None:
    (one,) = simulation.compare([(5, 6.0, 300.0)], calls=20_000)
    assert one.waits == pytest.approx(one.theory.waits, rel=0.05)
    table = list(simulation.check_table([one, replace(one, waits=one.theory.waits * 1.021)]))
    assert len(table) == 4
    assert "**falls short**" in table[3]
    assert len(simulation.CHECK_POINTS) >= 10


def test_what_check_tolerates() -> None:
    (one,) = simulation.compare([(5, 6.0, 300.0)], calls=1000)
    exact = replace(one, waits=one.theory.waits, abandons=one.theory.abandons)
    assert exact.holds
    assert replace(exact, waits=1.0199 * one.theory.waits).holds
    assert not replace(exact, abandons=0.979 * one.theory.abandons).holds
    tiny = replace(exact, theory=replace(one.theory, abandons=0.01), abandons=0.0109)
    assert tiny.holds
    assert not replace(tiny, abandons=0.0112).holds


# --- staff


@pytest.mark.timeout(300)  # half a million simulated calls
def test_every_hour_holds_and_none_holds_with_one_fewer() -> None:
    demand, target = Demand(DAY_OF_CALLS, talk=150.0), Target()
    hours = staff(demand, target, RULES, calls=20_000, least_calls=1000, processors=1)
    assert len(hours) == 24
    for one in hours:
        assert one.m1 is not None
        assert one.within is not None
        assert one.m1 >= 0.95
        assert one.within >= 0.80
        assert one.measured.calls >= 800
        assert abs(one.agents - one.erlang) <= 2
    fewer = [one.agents - 1 for one in hours]
    how: dict[str, Any] = {
        "seed": 1,
        "calls": 20_000,
        "least_calls": 0,
        "progress": lambda done, asked: None,
    }
    floors = staffing._Floors(demand, target, RULES, workers=Workers(1), **how)
    found = floors.measure(fewer)
    busy = [one for one, rate in zip(found, DAY_OF_CALLS, strict=True) if rate == 60]
    assert not any(staffing._holds(one, target) for one in busy)


MORNING = Demand(tuple(30.0 * (9 <= hour < 12) for hour in range(24)))


@pytest.mark.timeout(300)  # worker processes give way to whatever else runs
def test_staffing_is_the_same_on_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "WORTH_IT", 0)
    how: dict[str, Any] = {"calls": 1000, "least_calls": 100}
    one, two = (staff(MORNING, Target(), RULES, processors=many, **how) for many in (1, 2))
    assert one == two


def test_what_was_measured_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[staffing._Asked] = []
    measure = staffing._measure_hour

    def remember(*given: Any) -> Measured:
        asked.append(given[-1])
        return measure(*given)

    monkeypatch.setattr(staffing, "_measure_hour", remember)
    told: list[tuple[int, int]] = []
    hours = staff(
        *(MORNING, Target(), RULES),
        calls=1000,
        least_calls=100,
        processors=1,
        progress=lambda done, known: told.append((done, known)),
    )
    assert len(asked) == len(set(asked)) > 3
    assert {one.hour for one in asked} == {9, 10, 11}
    assert [done for done, _ in told] == list(range(1, len(asked) + 1))
    assert told[-1] == (len(asked), len(asked))
    assert [one.agents > 0 for one in hours] == [9 <= hour < 12 for hour in range(24)]


def test_a_stricter_target_needs_more() -> None:
    demand = Demand((60.0,))
    some, more = (
        sum(one.agents for one in staff(demand, target, RULES, calls=3000))
        for target in (Target(m1=0.85, within=0.5), Target(m1=0.96, within=0.9))
    )
    assert more > some


def test_in_time_counts_beside_m1() -> None:
    (one,) = staff(Demand((60.0,), patience=900.0), Target(m1=0.5, within=0.9), RULES, calls=3000)
    assert one.within is not None
    assert one.within >= 0.9


@pytest.mark.parametrize(
    ("target", "demand", "said"),
    [
        (Target(m1=1.0), Demand(DAY_OF_CALLS), "under 100 %"),
        (Target(rings=0), Demand(DAY_OF_CALLS), "give 1 to 60"),
        (Target(m1=0.99), Demand(DAY_OF_CALLS, answer_after=3, patience=60), "4.9% of the callers"),
        (Target(rings=1), Demand(DAY_OF_CALLS, answer_after=6), "within 5 s"),
        (Target(), Demand((0.0,) * 24), "nobody calls"),
    ],
)
def test_targets_that_nobody_can_reach(target: Target, demand: Demand, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        staff(demand, target, RULES)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return path


def test_hours_from_a_file(tmp_path: Path) -> None:
    day = from_csv(write(tmp_path / "a.csv", "Hour,Calls", "9,120", "10,60.5"), weekly=False)
    assert (day.per_hour[9], day.per_hour[10], sum(day.per_hour)) == (120, 60.5, 180.5)
    week = from_csv(write(tmp_path / "b.csv", "hour,calls", "9,120", "33,80"), weekly=False)
    assert len(week.per_hour) == 168
    assert week.per_hour[33] == 80


def test_moments_from_a_file(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        "arrived,caller",
        "2025-11-17T09:10:00,1",
        "2025-11-17T01:20:00Z,2",
        "2025-11-18 23:59:59,3",
    )
    day = from_csv(path, weekly=False)
    assert (day.per_hour[9], day.per_hour[23]) == (1.0, 0.5)
    week = from_csv(path, weekly=True)
    assert (week.per_hour[9], week.per_hour[24 + 23]) == (2.0, 1.0)
    assert [note.en for note in day.estimated] == ["3 calls of 2 days, from 2025-11-17"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("hour,calls", "9,many", "25x,3", "200,1"), "3 rows cannot be used\nline 2: calls 'many'"),
        (("hour,calls", "9,1", "9,2"), "line 3: hour 9 is there twice"),
        (("hour,calls", "9,-1"), "no number of calls"),
        (("hour,calls", "9,nan"), "no number of calls"),
        (("hour,calls", "9"), "calls '' is no number"),
        (("hour,calls",), "nobody calls"),
        (("arrived", "yesterday"), "line 2: 'yesterday' is no time"),
        (("arrived",), "it has no calls"),
        (("a,b", "1,2"), "must name the columns"),
        ((), "must name the columns"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, lines: tuple[str, ...], said: str) -> None:
    path = write(tmp_path / "a.csv", *lines)
    status, out, error = run("staff", "--csv", str(path))
    assert (status, out) == (2, "")
    assert said in error


async def keep(engine: AsyncEngine, calls: list[list[Fact]]) -> None:
    rows: list[dict[str, Any]] = [
        {
            "at": fact.at,
            "kind": fact.kind,
            "call": getattr(fact, "call", ""),
            "agent": getattr(fact, "agent", ""),
            "more": details(fact),
        }
        for facts in calls
        for fact in facts
    ]
    async with engine.begin() as connection:
        await connection.execute(tables.diary.insert(), rows)


async def test_demand_from_history_is_what_made_it(engine: AsyncEngine) -> None:
    plan = Scenario(
        per_hour=tuple(90.0 if 8 <= hour < 12 else 5.0 for hour in range(24)),
        agents=(3,),
        talk=Length(100.0),
        patience=Length(80.0),
        answer_after=Length(4.0, Shape.FIXED),
        greeting=8.0,
    )
    calls: list[list[Fact]] = []
    simulate(plan, RULES, calls.append, hours=10 * 24.0)
    await keep(engine, calls)
    found = await from_history(engine, BEGIN + 10 * DAY + HOUR, 10, weekly=False)
    assert found.talk == pytest.approx(100, rel=0.06)
    assert found.patience == pytest.approx(80, rel=0.1)
    assert found.answer_after == pytest.approx(4.0)
    assert sum(found.per_hour[8:12]) / 4 == pytest.approx(90, rel=0.06)
    assert found.per_hour[3] == pytest.approx(5, abs=2)
    assert any("who gave up" in note.en for note in found.estimated)
    some = await from_history(engine, BEGIN + 5 * DAY + 12 * HOUR, 30, weekly=False)
    whole = [record for facts in calls if (record := record_of(facts)) is not None]
    queued = sum(record.reached_queue and record.arrived < BEGIN + 5 * DAY for record in whole)
    assert some.estimated[0].en == f"{queued} calls of 5 days, from 2025-01-06"
    assert sum(some.per_hour) == pytest.approx(queued / 5)
    week = await from_history(engine, BEGIN + 10 * DAY + HOUR, 7, weekly=True)
    # The seven days before are Thursday to Wednesday; the eighth, Thursday 16 January, has just begun.
    assert f"{local(BEGIN + 10 * DAY):%A}" == "Thursday"
    assert week.per_hour[24 * 2 + 9] == pytest.approx(90, rel=0.35)


async def test_what_history_cannot_tell_is_assumed_and_said(engine: AsyncEngine) -> None:
    calls: list[list[Fact]] = []
    plan = Scenario(per_hour=(2.0,), agents=(9,), patience=Length(math.inf))
    simulate(plan, RULES, calls.append, hours=24.0)
    await keep(engine, calls)
    found = await from_history(engine, BEGIN + DAY + HOUR, 30, weekly=False)
    assert found.patience == 120
    assert "patience 120 s, assumed: nobody gave up" in [note.en for note in found.estimated]


async def test_history_without_calls(engine: AsyncEngine) -> None:
    with pytest.raises(ValueError, match="no queued calls in the 7 days"):
        await from_history(engine, BEGIN, 7, weekly=False)
    with pytest.raises(ValueError, match="1 to 366"):
        await from_history(engine, BEGIN, 0, weekly=False)


HOURS = [
    staffing.Hour(hour, 10.0 * hour, hour, hour + 1, Measured(100 * hour, 97 * hour, 90 * hour))
    for hour in range(24)
]


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_plot(tmp_path: Path, name: str, begins: bytes) -> None:
    pytest.importorskip("matplotlib")
    one, two = tmp_path / name, tmp_path / f"again-{name}"
    for path in (one, two):
        assert staffing.plot(HOURS, Target(), path, "zh") in {"zh", "en"}
    assert one.read_bytes().startswith(begins)
    assert one.read_bytes() == two.read_bytes()


def test_plot_is_chinese_with_a_font_that_was_installed_after_matplotlibs_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib import font_manager

    own = [
        font for font in font_manager.fontManager.ttflist if "mpl-data" in Path(font.fname).parts
    ]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    if not [path for path in font_manager.findSystemFonts() if "CJK" in path or "wqy" in path]:
        pytest.skip("no font with Chinese is installed")
    # A letter that the font does not have would be a warning, which fails the test.
    assert staffing.plot(HOURS, Target(), tmp_path / "a.png", "zh") == "zh"


def test_plot_is_english_when_no_font_has_chinese(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib import font_manager

    # What comes with matplotlib, and its last resort, has no Chinese.
    own = [
        font for font in font_manager.fontManager.ttflist if "mpl-data" in Path(font.fname).parts
    ]
    assert "DejaVu Sans" in {font.name for font in own}
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    assert staffing.plot(HOURS, Target(), tmp_path / "a.svg", "zh") == "en"


def test_staff_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.csv", "hour,calls", *(f"{hour},20" for hour in range(9, 12)))
    words = ("staff", "--csv", str(path), "--target", "M1=90%", "--calls", "2000", "--talk", "90")
    status, out, _ = run(*words, "--format", "json")
    found = json.loads(out)
    assert status == 0
    assert found["targets"] == {"M1": 0.9, "within": 0.8, "rings": 3}
    assert [one["agents"] for one in found["hours"]][8:13] == [0, *found_agents(found), 0]
    assert found["agent_hours"] == sum(found_agents(found))
    answers: list[list[staffing.Hour]] = []

    def remember(*asked: Any, **how: Any) -> list[staffing.Hour]:
        answers.append(staff(*asked, **how))
        return answers[0]

    monkeypatch.setattr(staffing, "staff", remember)
    assert run(*words, "--format", "json")[1] == out
    # The same answer in other words needs no other simulation.
    monkeypatch.setattr(staffing, "staff", lambda *_asked, **_how: answers[0])
    status, out, _ = run(*words, "--lang", "en")
    assert status == 0
    assert "09-10" in out
    assert "within 3 rings (15 s)" in out
    status, out, _ = run(*words)
    assert status == 0
    assert "排队后 3 声（15 秒）内接听" in out
    assert f"合计 {found['agent_hours']} 人时" in out
    assert not re.search("[a-z]{3}", out.replace("Erlang", "").replace(path.name, ""))


def found_agents(found: dict[str, Any]) -> list[int]:
    return [one["agents"] for one in found["hours"] if one["calls_per_hour"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "--csv FILE or --from-history DAYS"),
        ("--csv a.csv --from-history 3", "--csv FILE or --from-history DAYS"),
        ("--csv nowhere.csv", "nowhere.csv"),
        ("--from-history 3", "no queued calls"),
        ("--from-history 0", "1 to 366"),
        ("--csv {good} --target M3=95%", "write M1=95%"),
        ("--csv {good} --target M1=0.95", "such as 95%"),
        ("--csv {good} --target M1=100%", "under 100 %"),
        ("--csv {good} --talk 0", "more than 0"),
        ("--csv {good} --ring 20", "no call can be answered"),
        ("--csv {good} --plot a.pdf", ".png or .svg"),
        ("--csv {good} --calls 3", "give 1000"),
        ("--csv {good} --format csv", "there is"),
    ],
)
def test_staff_refuses(tmp_path: Path, words: str, said: str) -> None:
    good = write(tmp_path / "good.csv", "hour,calls", "9,20")
    status, out, error = run("staff", *words.format(good=good).split())
    assert (status, out) == (2, "")
    assert said in error


def test_plot_that_cannot_be_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    good = write(tmp_path / "good.csv", "hour,calls", "9,20")
    plot = tmp_path / "nowhere" / "a.png"
    status, _, error = run("staff", "--csv", str(good), "--calls", "1000", "--plot", str(plot))
    assert status == 2
    assert "nowhere" in error
