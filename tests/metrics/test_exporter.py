"""What Prometheus reads, and that rules and dashboard ask for nothing else. promtool judges the files where it is."""

import json
import math
import re
import shutil
import subprocess
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from base.stalls import Stall
from facts import (
    AgentReady,
    CallbackAdded,
    CallbackYielded,
    CallEnded,
    Fact,
    OfferEnded,
    OfferMade,
    TalkEnded,
)
from facts.live import LiveState
from facts.terms import OfferReason, Party
from metrics.exporter import Exporter
from tests.metrics.histories import (
    T,
    answered,
    at,
    handed_on,
    in_greeting,
    in_queue,
    while_ringing,
)

FOLDER = Path(__file__).parents[2] / "metrics" / "prometheus"


def fed(*facts: Fact) -> Exporter:
    made = Exporter("0.1.0")
    for fact in facts:
        made.add(fact)
    return made


def read(exporter: Exporter) -> dict[str, float]:
    """Every sample by its name and labels, over HTTP as Prometheus gets it."""
    port = exporter.serve("127.0.0.1", 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    finally:
        exporter.close()
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_calls_by_outcome_with_waits_talk_and_rings() -> None:
    found = read(
        fed(
            *answered("a", waits=5, rings=3, talks=60),
            *answered("b", waits=20, rings=16, talks=10),
            *in_greeting("c"),
            *in_queue("d"),
            *while_ringing("e"),
        )
    )
    assert found["hotline_calls_arrived_total"] == 5
    outcomes = {
        name: found[f'hotline_calls_ended_total{{outcome="{name}"}}']
        for name in ("human", "abandoned_greeting", "abandoned_queue", "abandoned_ringing", "test")
    }
    assert list(outcomes.values()) == [2, 1, 1, 1, 0]
    waits = 'hotline_wait_seconds_bucket{le="%s",result="answered"}'
    assert [found[waits % le] for le in ("5.0", "10.0", "30.0", "45.0")] == [0, 1, 1, 2]
    assert found['hotline_wait_seconds_count{result="abandoned"}'] == 2
    assert found["hotline_talk_seconds_sum"] == pytest.approx(70)
    assert found['hotline_ring_seconds_bucket{le="15.0"}'] == 1
    assert found["hotline_ring_seconds_count"] == 2


def test_talks_that_the_system_ended() -> None:
    *facts, talk, end = answered("a")
    assert isinstance(talk, TalkEnded)
    assert isinstance(end, CallEnded)
    cut = replace(talk, hung_up_by=Party.SYSTEM), replace(end, hung_up_by=Party.SYSTEM)
    assert read(fed(*facts, *cut, *answered("b")))["hotline_talks_cut_total"] == 1


def test_one_who_was_handed_on_from_a_callback_is_no_call() -> None:
    found = read(fed(*handed_on("a"), *answered("b")))
    assert found["hotline_calls_arrived_total"] == 1
    assert found['hotline_calls_ended_total{outcome="human"}'] == 1


def test_a_call_is_counted_once_and_forgotten() -> None:
    exporter = fed(*answered("a"), *answered("a"))
    found = read(exporter)
    # Told again from the start, as CEL does after an outage, it is a call again: the diary knows better.
    assert (
        found["hotline_calls_arrived_total"] == found['hotline_calls_ended_total{outcome="human"}']
    )
    late = fed(*answered("a")[1:])
    assert read(late)["hotline_calls_arrived_total"] == 0
    assert late._open == {}


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metrics.exporter._MOST_OPEN", 3)
    exporter = fed(*(answered(f"c{n}")[0] for n in range(10)))
    assert len(exporter._open) == 3


def test_offers_callbacks_and_yields() -> None:
    found = read(
        fed(
            OfferMade(T, "a", "1001"),
            OfferEnded(at(15), "a", "1001", OfferReason.NO_ANSWER),
            CallbackAdded(T, 1, "13800000001", "default", T, at(60)),
            CallbackYielded(T, 1, "b", "1001", "a"),
            AgentReady(T, "1001"),
        )
    )
    assert found["hotline_offers_made_total"] == 1
    assert found['hotline_offers_ended_total{result="no_answer"}'] == 1
    assert found['hotline_callbacks_total{event="added"}'] == 1
    assert found["hotline_yields_total"] == 1


def state(**changes: Any) -> Any:
    return {
        "stages": {"greeting": 1, "waiting": 2, "ringing": 0, "talking": 1},
        "waiting_since": at(-30),
        "agents": [{"presence": "talking"}, {"presence": "wrap-up"}, {"presence": "talking"}],
        "figures": {"M1r": {"value": 0.97, "denominator": 200}},
        "alarms": [{"severity": "critical"}],
        **changes,
    }


def show(exporter: Exporter, shown: LiveState) -> None:
    exporter.show(shown, T, ami_up=True, redis_up=False, backlog=7, lost=0, callbacks=3)


def test_what_is_now() -> None:
    exporter = Exporter("0.1.0")
    show(exporter, state())
    exporter.lag(0.002)
    exporter.lag(-1)
    found = read(exporter)
    assert found['hotline_info{version="0.1.0"}'] == 1
    assert found['hotline_callers{stage="waiting"}'] == 2
    assert found["hotline_longest_wait_seconds"] == 30
    assert found['hotline_agents{state="talking"}'] == 2
    assert found['hotline_agents{state="ready"}'] == 0
    assert found["hotline_connection_ratio"] == 0.97
    assert found['hotline_alarms{severity="critical"}'] == 1
    assert (found["hotline_ami_up"], found["hotline_redis_up"]) == (1, 0)
    assert (found["hotline_diary_backlog_facts"], found["hotline_callbacks_open"]) == (7, 3)
    assert found['hotline_ami_event_lag_seconds_bucket{le="0.0025"}'] == 2
    assert "process_cpu_seconds_total" in found
    show(exporter, state(agents=[], figures={"M1r": {"value": None, "denominator": 0}}))
    empty = read(exporter)
    assert empty['hotline_agents{state="talking"}'] == 0
    assert math.isnan(empty["hotline_connection_ratio"])


def test_what_waits_for_recorder_and_store() -> None:
    exporter = Exporter("0.1.0")
    names = ("recordings_backlog", "recordings_oldest_seconds", "store_backlog")
    assert all(math.isnan(read(exporter)[f"hotline_{name}"]) for name in names)
    exporter.show_backlogs(700, 12.5, 0)
    assert [read(exporter)[f"hotline_{name}"] for name in names] == [700, 12.5, 0]
    exporter.show_backlogs(None, None, 3)
    assert math.isnan(read(exporter)["hotline_recordings_backlog"])
    assert read(exporter)["hotline_store_backlog"] == 3


def test_for_how_long_the_controller_stood_still() -> None:
    exporter = Exporter("0.1.0")
    exporter.stalled(Stall(ended=100.0, seconds=0.04, busy=0.01))
    exporter.stalled(Stall(ended=101.0, seconds=0.3, busy=0.3))
    found = read(exporter)
    assert found["hotline_loop_stall_seconds_sum"] == pytest.approx(0.34)
    counts = [
        found[f'hotline_loop_stall_seconds_bucket{{le="{most}"}}'] for most in (0.03, 0.05, 0.5)
    ]
    assert counts == [0, 1, 2]


def test_which_trunks_are_there() -> None:
    exporter = Exporter("0.1.0", ["unicom", "telecom", "mobile"])
    assert math.isnan(read(exporter)['hotline_trunk_up{trunk="unicom"}'])
    exporter.show_trunks({"unicom": True, "telecom": False, "mobile": None})
    found = read(exporter)
    assert found['hotline_trunk_up{trunk="unicom"}'] == 1
    assert found['hotline_trunk_up{trunk="telecom"}'] == 0
    assert math.isnan(found['hotline_trunk_up{trunk="mobile"}'])
    exporter.show_trunks({"unicom": False})
    found = read(exporter)
    assert found['hotline_trunk_up{trunk="unicom"}'] == 0
    assert 'hotline_trunk_up{trunk="telecom"}' not in found, "it was taken out of trunks.toml"


def test_no_label_holds_a_number_or_a_name() -> None:
    exporter = fed(*answered("hotline-1.1"))
    show(exporter, state(agents=[{"presence": "talking", "name": "王芳", "number": "1001"}]))
    text = " ".join(read(exporter))
    assert not re.search(r"138|1001|王芳|hotline-1", text)


def asked() -> dict[str, list[str]]:
    """Every expression of the rules and of the dashboard."""
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    return {
        "alerts.yml": [one["expr"] for group in rules["groups"] for one in group["rules"]],
        "grafana-dashboard.json": [
            target["expr"] for panel in dashboard["panels"] for target in panel["targets"]
        ],
    }


@pytest.mark.parametrize("file", ["alerts.yml", "grafana-dashboard.json"])
def test_only_what_is_exported_is_asked_for(file: str) -> None:
    exporter = fed(*answered("a"))
    show(exporter, state())
    samples = read(exporter)
    names = {sample.partition("{")[0] for sample in samples}
    expressions = asked()[file]
    assert len(expressions) >= 9
    for expression in expressions:
        for name, labels in re.findall(r"\b((?:hotline|process)_\w+)(\{[^}]*\})?", expression):
            assert name in names, expression
            there = [sample for sample in samples if sample.startswith(name + "{")]
            for label, values in re.findall(r'(\w+)=~?"([^"]*)"', labels):
                if label in ("job", "instance"):
                    continue
                for value in values.split("|"):
                    assert any(f'{label}="{value}"' in sample for sample in there), expression


def test_the_dashboard_is_laid_out() -> None:
    panels = json.loads((FOLDER / "grafana-dashboard.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def tool(*arguments: str, folder: Path) -> None:
    done = subprocess.run(
        ["promtool", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    for file in FOLDER.glob("*.yml"):
        shutil.copy(file, tmp_path)
    tool("check", "config", "prometheus.yml", folder=tmp_path)
    tool("check", "rules", "--lint-fatal", "alerts.yml", folder=tmp_path)
    shutil.copy(Path(__file__).parent / "alerts_test.yml", tmp_path)
    tool("test", "rules", "alerts_test.yml", folder=tmp_path)


def test_every_rule_is_seen_to_be_silent_and_to_fire() -> None:
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    tests = yaml.safe_load((Path(__file__).parent / "alerts_test.yml").read_text())["tests"]
    tried = {
        (one["alertname"], bool(one["exp_alerts"]))
        for test in tests
        for one in test["alert_rule_test"]
    }
    named = {one["alert"] for group in rules["groups"] for one in group["rules"]}
    assert tried == {(name, fires) for name in named for fires in (False, True)}


def test_prometheus_takes_every_expression_and_the_page(tmp_path: Path) -> None:
    """The dashboard's expressions as recording rules; what the exporter says through promtool's own reader."""
    rules = [
        {"record": f"panel:{n}", "expr": expression.replace("$instance", ".*")}
        for n, expression in enumerate(asked()["grafana-dashboard.json"])
    ]
    text = yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}, width=10_000)
    (tmp_path / "dashboard.yml").write_text(text)
    tool("check", "rules", "dashboard.yml", folder=tmp_path)
    exporter = fed(*answered("a"))
    show(exporter, state())
    port = exporter.serve("127.0.0.1", 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            page = answer.read()
    finally:
        exporter.close()
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
