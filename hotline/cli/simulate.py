"""`hotline simulate`: the production floor with citizens, agents and a clock that do not exist."""

import math
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from acd.rules import book as rulebook
from acd.rules import text as ruletext
from acd.rules.model import Rules
from facts.numbers import HOTLINE_NUMBER
from hotline.cli.tools import JsonOrText, Language, fail, form_of, progress_bar, read_settings
from planning import simulation
from planning.simulator import DAY_OF_HOURS, Length, Scenario, Shape

app = typer.Typer()

_CALLS = {"zh": "模拟来电", "en": "calls"}
_POINTS = {"zh": "对照点", "en": "points"}
_PROFILE = "one value, 24 with commas, or hours such as 8-18=600,18-24=120 (others: 0)"


@app.command()
def simulate(
    calls: Annotated[int | None, typer.Option("--calls", help="how many calls come")] = None,
    hours: Annotated[float | None, typer.Option("--hours", help="or: for how many hours")] = None,
    per_hour: Annotated[str, typer.Option("--per-hour", help=f"calls an hour: {_PROFILE}")] = "600",
    agents: Annotated[str, typer.Option("--agents", help=f"agents on duty: {_PROFILE}")] = "35",
    talk: Annotated[float, typer.Option("--talk", help="mean talk, seconds")] = 180.0,
    talk_shape: Annotated[
        Shape, typer.Option("--talk-shape", help="how talks are spread")
    ] = Shape.LOGNORMAL,
    patience: Annotated[
        str, typer.Option("--patience", help="mean patience from queueing, seconds, or endless")
    ] = "120",
    wrap_up: Annotated[
        float | None, typer.Option("--wrap-up", help="seconds, in every queue; default: the rules")
    ] = None,
    ring: Annotated[float, typer.Option("--ring", help="seconds until an agent picks up")] = 3.0,
    no_answer: Annotated[
        str, typer.Option("--no-answer", help="chance that an agent does not pick up, such as 1%")
    ] = "0%",
    greeting: Annotated[float, typer.Option("--greeting", help="seconds before queueing")] = 8.0,
    callbacks_per_hour: Annotated[
        float, typer.Option("--callbacks-per-hour", help="callback tasks that come")
    ] = 0.0,
    call_back_lost: Annotated[
        bool, typer.Option("--call-back-lost", help="who gives up becomes a callback, too")
    ] = False,
    reached: Annotated[
        str, typer.Option("--reached", help="chance that a citizen answers a callback")
    ] = "60%",
    number: Annotated[
        list[str] | None,
        typer.Option("--number", help="a number's share of the calls, such as 12345=3; repeatable"),
    ] = None,
    rules_file: Annotated[
        Path | None, typer.Option("--rules", help="TOML file as `hotline queue export` writes it")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="the same seed gives the same calls")] = 1,
    fail_under: Annotated[
        float | None, typer.Option("--fail-under", help="percent of M1; decides the status")
    ] = None,
    form: JsonOrText = "text",
    lang: Language = "zh",
    check: Annotated[
        bool, typer.Option("--check", help="compare with Erlang A instead; it takes minutes")
    ] = False,
) -> None:
    """Run the production floor on a virtual clock and print the report's figures.

    With --fail-under, status 0: M1 holds; 1: it falls short; 2: too few calls.
    """
    form_of(form, "text", "json")
    if check:
        _check(calls, seed, lang)
    scenario = Scenario(
        per_hour=profile("--per-hour", per_hour),
        agents=tuple(whole("--agents", value) for value in profile("--agents", agents)),
        numbers=tuple(_share(text) for text in number or ()),
        talk=Length(talk, talk_shape),
        patience=Length(seconds("--patience", patience)),
        greeting=greeting,
        answer_after=Length(ring, Shape.FIXED),
        no_answer=percentage("--no-answer", no_answer),
        callbacks_per_hour=callbacks_per_hour,
        call_back_lost=call_back_lost,
        reached=percentage("--reached", reached),
    )
    if calls is None and hours is None:
        calls = 10_000
    rules = read_rules(rules_file, wrap_up)
    if not 0 <= (fail_under or 0) <= 100:
        fail(f"--fail-under {fail_under:g}: give a percentage from 0 to 100", status=2)
    began = time.monotonic()
    try:
        with progress_bar(_CALLS[lang]) as progress:
            result = simulation.run(
                scenario,
                rules,
                seed=seed,
                calls=calls,
                hours=hours,
                fail_under=95.0 if fail_under is None else fail_under,
                progress=progress,
            )
    except ValueError as error:
        fail(str(error), status=2)
    took = time.monotonic() - began
    if form == "json":
        print(simulation.as_json(result, seed))
    else:
        print(simulation.as_text(result, seed, lang), end="")
    said = f"{result.totals.calls:,} calls in {took:.1f} s, {result.totals.facts:,} facts"
    print(said, file=sys.stderr)
    if fail_under is not None:
        sys.exit(int(result.report.verdict))


def _check(calls: int | None, seed: int, lang: str) -> None:
    if calls is not None and calls < 1000:
        fail(f"--calls {calls}: chance needs 1000 or more to even out", status=2)
    seen: list[simulation.Compared] = []
    with progress_bar(_POINTS[lang]) as progress:
        progress(0, len(simulation.CHECK_POINTS))
        for one in simulation.compare(calls=calls or simulation.CHECK_CALLS, seed=seed):
            seen.append(one)
            progress(len(seen), len(simulation.CHECK_POINTS))
    for line in simulation.check_table(seen):
        print(line)
    sys.exit(0 if all(one.holds for one in seen) else 1)


# --- what `hotline staff` reads in the same way


def read_rules(path: Path | None, wrap_up: float | None) -> Rules:
    """The rules of a file, or the default rules of a new centre; `wrap_up` seconds in every queue."""
    settings = read_settings()
    book, defaults = ruletext.Rulebook(), rulebook.defaults(settings)
    if path is not None:
        try:
            book = ruletext.from_toml(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            fail(f"--rules {path}: {error}", status=2)
        except ruletext.RulesError as error:
            fail(f"--rules {path}:\n{error}", status=2)
    wrong = list(ruletext.problems(book, defaults=defaults))
    if wrong:
        fail(f"--rules {path}:\n" + "\n".join(wrong), status=2)
    rules = book.rules(defaults, settings.numbers if path is None else ())
    if wrap_up is None:
        return rules
    if not 0 <= wrap_up < math.inf:
        fail(f"--wrap-up {wrap_up:g}: give 0 seconds or more", status=2)
    queues = {name: replace(queue, wrap_up_time=wrap_up) for name, queue in rules.queues.items()}
    return replace(rules, queues=queues)


def profile(option: str, text: str) -> tuple[float, ...]:
    """One value, or one for each hour of the day."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if any("=" in part for part in parts):
        values = [0.0] * DAY_OF_HOURS
        for part in parts:
            found = re.fullmatch(r"(\d{1,2})(?:-(\d{1,2}))?=(.+)", part)
            first = int(found[1]) if found else DAY_OF_HOURS
            last = int(found[2]) if found and found[2] else first + 1
            if found is None or not 0 <= first < last <= DAY_OF_HOURS:
                fail(f"{option} {part}: write hours as 8-18=600, from 0 to 24", status=2)
            values[first:last] = [_value(option, found[3])] * (last - first)
        return tuple(values)
    if len(parts) not in (1, DAY_OF_HOURS):
        fail(f"{option} {text}: there are {len(parts)} values; write {_PROFILE}", status=2)
    return tuple(_value(option, part) for part in parts)


def seconds(option: str, text: str) -> float:
    """Seconds above 0, or `endless`."""
    if text.strip().lower() in ("endless", "inf", "infinite"):
        return math.inf
    value = _value(option, text)
    if value == 0:
        fail(f"{option} {text}: give more than 0 seconds, or endless", status=2)
    return value


def percentage(option: str, text: str) -> float:
    """`95%` or `95` as 0.95. A bare fraction is refused: 1 could mean 1 %."""
    number = text.strip().removesuffix("%").strip()
    value = _value(option, number)
    if value > 100 or (0 < value < 1 and not text.strip().endswith("%")):
        fail(f"{option} {text}: write a percentage such as 95%", status=2)
    return value / 100


def whole(option: str, value: float) -> int:
    """A number of people."""
    if value != int(value):
        fail(f"{option} {value:g}: agents are whole", status=2)
    return int(value)


def _share(text: str) -> tuple[str, float]:
    number, _, share = text.partition("=")
    if not HOTLINE_NUMBER.fullmatch(number.strip()):
        fail(f"--number {text}: write a telephone number and its share, such as 12345=3", status=2)
    return number.strip(), _value("--number", share or "1")


def _value(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        fail(f"{option} {text}: write a number of 0 or more", status=2)
    return value
