"""The Grafana dashboard, read by Grafana Labs' own types of Grafana 11.6 (`grafana-foundation-sdk`).

Its types leave out what they do not know, so a misspelt key is one that does not come back; they do not look at values,
so pydantic holds each against the type that they declare.
"""

import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from grafana_foundation_sdk.cog import plugins, runtime
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard, prometheus, units
from pydantic import ConfigDict, TypeAdapter, ValidationError

FILE: Final = Path(__file__).parents[2] / "metrics" / "prometheus" / "grafana-dashboard.json"

plugins.register_default_plugins()


def faults(text: str) -> list[str]:
    """Everything that Grafana would not understand in the file `text`, one sentence each."""
    written = json.loads(text)
    try:
        made = dashboard.Dashboard.from_json(written)
        back = json.loads(JSONEncoder().encode(made))
    except (AttributeError, KeyError, TypeError) as error:
        return [f"it cannot be read: {error!r}"]
    return [*_lost(written, back, ""), *_wrong_values(made), *_wrong_references(made)]


def _lost(written: Any, back: Any, where: str) -> Iterator[str]:
    """What is in the file, and not in what Grafana's types made of it."""
    if isinstance(written, dict) and isinstance(back, dict):
        for key, value in written.items():
            if key not in back:
                yield f"{where}/{key} is not known"
            else:
                yield from _lost(value, back[key], f"{where}/{key}")
    elif isinstance(written, list) and isinstance(back, list) and len(written) == len(back):
        for n, (one, other) in enumerate(zip(written, back, strict=True)):
            yield from _lost(one, other, f"{where}/{n}")
    elif written != back:
        yield f"{where} is {written!r}, and is read as {back!r}"


def _wrong_values(part: Any) -> Iterator[str]:
    """Values that are not of the type that Grafana's class declares, in `part` and below."""
    if isinstance(part, dict | list):
        for one in part.values() if isinstance(part, dict) else part:
            yield from _wrong_values(one)
    elif hasattr(part, "to_json"):
        for name, declared in typing.get_type_hints(type(part)).items():
            value = getattr(part, name)
            kind = TypeAdapter[Any](declared, config=ConfigDict(arbitrary_types_allowed=True))
            try:
                kind.validate_python(value)
            except ValidationError:
                yield f"{type(part).__name__}.{name} cannot be {value!r}"
            yield from _wrong_values(value)


def _wrong_references(made: dashboard.Dashboard) -> Iterator[str]:
    """Panels, units, queries, data sources and variables that are named and not there."""
    known_units = {value for value in vars(units).values() if isinstance(value, str)}
    variables = {one.name: one for one in made.templating.list_val or []}
    source = variables.get("datasource")
    if source is None or (source.type_val, source.query) != ("datasource", "prometheus"):
        yield "there is no variable 'datasource' that offers Prometheus"
    for panel in made.panels or []:
        assert isinstance(panel, dashboard.Panel)
        if runtime.panelcfg_config(panel.type_val) is None:
            yield f"{panel.title}: there is no panel {panel.type_val!r}"
        unit = panel.field_config.defaults.unit if panel.field_config else None
        if unit not in known_units:
            yield f"{panel.title}: there is no unit {unit!r}"
        if not panel.targets:
            yield f"{panel.title}: it asks nothing"
        for target in panel.targets or []:
            if not isinstance(target, prometheus.Dataquery):
                yield f"{panel.title}: a query that is not Prometheus's"
                continue
            for asked in (panel.datasource, target.datasource):
                if asked is None or (asked.type_val, asked.uid) != ("prometheus", "${datasource}"):
                    yield f"{panel.title}: not the data source that was chosen"
            for name in re.findall(r"\$\{?(\w+)", target.expr):
                if name not in variables:
                    yield f"{panel.title}: there is no variable {name!r}"


def test_grafanas_own_types_know_all_of_it() -> None:
    assert faults(FILE.read_text()) == []
    panels = dashboard.Dashboard.from_json(json.loads(FILE.read_text())).panels or []
    assert len(panels) >= 18


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ('"schemaVersion"', '"schemaVerison"', "/schemaVerison is not known"),
        ('"gridPos"', '"gridpos"', "/panels/0/gridpos is not known"),
        ('"legendFormat"', '"legend"', "/panels/0/targets/0/legend is not known"),
        ('"graphMode"', '"graphmode"', "/panels/0/options/graphmode is not known"),
        ('"lineWidth"', '"linewidth"', "/panels/6/fieldConfig/defaults/custom/linewidth is not"),
        ('"mode": "absolute"', '"mode": "absolut"', "ThresholdsConfig.mode cannot be 'absolut'"),
        ('"colorMode": "background"', '"colorMode": "back"', "Options.color_mode cannot be 'back'"),
        ('"h": 4', '"h": "four"', "GridPos.h cannot be 'four'"),
        ('"type": "timeseries"', '"type": "timeserie"', "there is no panel 'timeserie'"),
        ('"unit": "percentunit"', '"unit": "percents"', "there is no unit 'percents'"),
        ('"query": "prometheus"', '"query": "loki"', "no variable 'datasource' that offers"),
        ('"uid": "${datasource}"', '"uid": "${source}"', "not the data source that was chosen"),
        ("$instance", "$instanc", "there is no variable 'instanc'"),
        ('"panels": [', '"panels": [7,', "it cannot be read"),
    ],
)
def test_a_slip_of_the_pen_is_seen(right: str, wrong: str, said: str) -> None:
    text = FILE.read_text()
    assert right in text
    found = faults(text.replace(right, wrong))
    assert any(said in one for one in found), found
