"""Which room may import which (ARCHITECTURE.md), read from the source without running it, at any depth."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ROOMS = (
    "facts",
    "base",
    "diary",
    "agents",
    "acd",
    "ivr",
    "telephony",
    "recorder",
    "speech",
    "metrics",
    "quality",
    "alarms",
    "planning",
    "web",
    "privacy",
    "softphone",
    "hotline",
    "bench",
)
"""From the ground up: each may import only what stands before it."""

ORDER: Mapping[str, tuple[str, ...]] = {
    "acd": ("acd.rules", "acd.callbacks"),
    "acd.floor": (
        "acd.floor.hall",
        "acd.floor.lanes",
        "acd.floor.waiting",
        "acd.floor.assigned",
        "acd.floor.open_tasks",
        "acd.floor.work",
        "acd.floor.settle",
        "acd.floor.calls",
        "acd.floor.offers",
        "acd.floor.agents",
        "acd.floor.callbacks",
        "acd.floor.parties",
        "acd.floor.centre",
        "acd.floor.handing_on",
        "acd.floor.pairing",
        "acd.floor.snapshot",
        "acd.floor.floor",
    ),
    "hotline": (
        "hotline.machine",
        "hotline.controller",
        "hotline.demo",
        "hotline.cli",
    ),
}
"""Where the order within a room matters, too."""

IMPURE_MODULES = {
    "acd.callbacks.book",
    "acd.callbacks.tables",
    "acd.desk",
    "acd.rules.book",
    "acd.rules.tables",
    "agents.messages",
    "agents.roster",
    "agents.tables",
    "ivr.bring_in",
    "ivr.callback",
    "ivr.colleague",
    "ivr.connection",
    "ivr.door",
    "ivr.feature",
    "ivr.harassing",
    "ivr.phrase_file",
    "ivr.alert",
    "ivr.recording",
    "ivr.server",
    "ivr.session",
    "ivr.silence",
    "ivr.survey",
    "ivr.supervise",
    "ivr.way_out",
    "ivr.workdays",
    "metrics.calls",
    "metrics.completeness",
    "metrics.condensed",
    "metrics.due",
    "metrics.exporter",
    "metrics.hints",
    "metrics.older",
    "metrics.reports",
    "metrics.rollup",
    "metrics.rows",
    "metrics.search",
    "metrics.tables",
    "metrics.traits",
    "metrics.verify",
    "quality.book",
    "quality.draws",
    "quality.population",
    "quality.shown",
    "quality.tables",
    "quality.weekly",
    "recorder.archive",
    "recorder.backlog",
    "recorder.copying",
    "recorder.deletion",
    "recorder.exports",
    "recorder.finishing",
    "recorder.ledger",
    "recorder.forms",
    "recorder.hearing",
    "recorder.levels",
    "recorder.marks",
    "recorder.listening",
    "recorder.notary",
    "recorder.playing",
    "recorder.press",
    "recorder.proofs",
    "recorder.removal",
    "recorder.seals",
    "recorder.spool",
    "recorder.stamps",
    "recorder.tables",
    "recorder.tape",
    "recorder.vault.keys",
    "recorder.vault.objects",
    "recorder.vault.old",
    "recorder.vault.reading",
    "recorder.vault.rotation",
    "recorder.vault.sealed",
    "recorder.vault.store",
    "recorder.vault.uploads",
    "speech.hearing",
    "speech.model",
    "speech.night",
    "speech.shelf",
    "telephony.bring_in",
    "telephony.cel_file",
    "telephony.emergency",
    "telephony.hang_over",
    "telephony.hep",
    "telephony.leaving",
    "telephony.certificates",
    "telephony.link",
    "telephony.oneshot",
    "telephony.outbound",
    "telephony.pauses",
    "telephony.phones",
    "telephony.queue_log_file",
    "telephony.supervised",
    "telephony.supervision",
    "telephony.switch",
    "telephony.texts",
    "telephony.talk_verbs",
    "telephony.trunks",
}
"""In the rooms of the core every other module is pure; a package here names all that is in it."""

CORE = ("facts", "agents", "acd", "ivr", "telephony", "recorder", "speech", "metrics", "quality")
PURE_ELSEWHERE = {
    "alarms.rules",
    "base.bounded",
    "planning.erlang",
    "web.accounts.rights",
    "web.limit",
}

IMPURE = {
    "asyncio",
    "os",
    "panoramisk",
    "pathlib",
    "random",
    "redis",
    "socket",
    "sqlalchemy",
    "structlog",
    "subprocess",
    "threading",
    "time",
}
"""What no pure module reaches at any depth: I/O, chance, the clock of the machine."""

LARGEST_SHARE = 0.175
"""No room holds much more than a sixth of the lines."""


def _modules() -> dict[str, Path]:
    found = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = _modules()


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Everything below that may be or hold an import. Expressions hold none, and they are most of a module."""
    for name in ("body", "orelse", "handlers", "finalbody", "cases"):
        for one in getattr(node, name, ()):
            yield one
            yield from _statements(one)


@cache
def imports_of(module: str) -> set[str]:
    """What a module imports: modules of ours by their whole name, others by their first word's package."""
    path = MODULES[module]
    names = set()
    for node in _statements(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            source = node.module or ""
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                names.add(whole if whole in MODULES else source)
    return names - {module}


def _with_packages(name: str) -> Iterator[str]:
    """A module's own name, and the packages whose `__init__` Python runs before it."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        if (outer := ".".join(parts[:count])) in MODULES:
            yield outer


def reached(module: str) -> dict[str, list[str]]:
    """Everything that is imported when `module` is, at any depth, each with one way to it."""
    ways = {module: [module]}
    todo = [module]
    while todo:
        at = todo.pop()
        for name in imports_of(at) if at in MODULES else ():
            for step in _with_packages(name) if name.partition(".")[0] in ROOMS else (name,):
                if step not in ways:
                    ways[step] = [*ways[at], step]
                    todo.append(step)
    return ways


def _room(name: str) -> str:
    return name.partition(".")[0]


def _pure() -> set[str]:
    core = {module for module in MODULES if _room(module) in CORE and "." in module}
    shells = {
        module
        for module in core
        if any(f"{module}.".startswith(f"{impure}.") for impure in IMPURE_MODULES)
    }
    return (core - shells) | PURE_ELSEWHERE


PURE = _pure()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_import_runs_upwards(module: str) -> None:
    floor = ROOMS.index(_room(module))
    for name, way in reached(module).items():
        if _room(name) in ROOMS:
            assert ROOMS.index(_room(name)) <= floor, " → ".join(way)


@pytest.mark.parametrize("room", sorted(ORDER))
def test_the_order_within_a_room(room: str) -> None:
    order = ORDER[room]
    for module in MODULES:
        floor = next((n for n, name in enumerate(order) if f"{module}.".startswith(f"{name}.")), -1)
        for name in imports_of(module) if floor >= 0 else ():
            other = next((n for n, one in enumerate(order) if f"{name}.".startswith(f"{one}.")), -1)
            assert other <= floor, f"{module} → {name}"


def test_the_map_of_the_floor_names_its_modules_from_the_ground_up() -> None:
    text = ast.get_docstring(ast.parse(MODULES["acd.floor"].read_text())) or ""
    *_, listed = text.split("\n\n")
    named = tuple(f"acd.floor.{line.split()[0]}" for line in listed.splitlines())
    assert named == ORDER["acd.floor"]
    assert set(named) == {module for module in MODULES if module.startswith("acd.floor.")}


@pytest.mark.parametrize("module", sorted(PURE))
def test_pure_modules_reach_no_impure_one(module: str) -> None:
    for name, way in reached(module).items():
        assert _room(name) not in IMPURE, " → ".join(way)


def test_nothing_in_the_core_knows_the_bus() -> None:
    users = {_room(module) for module in MODULES if "base.bus" in imports_of(module)}
    assert users.isdisjoint(CORE)


def test_there_is_no_circle_of_modules() -> None:
    done: set[str] = set()
    for start in MODULES:
        _walk(start, [], done)


def _walk(module: str, way: list[str], done: set[str]) -> None:
    assert module not in way, " → ".join([*way[way.index(module) :], module])
    if module not in done:
        for name in sorted(imports_of(module) & set(MODULES)):
            _walk(name, [*way, module], done)
        done.add(module)


def test_there_is_no_circle_of_packages() -> None:
    packages = {module.rpartition(".")[0] or module for module in MODULES}

    def package(name: str) -> str:
        return name if name in packages else name.rpartition(".")[0]

    ways: dict[str, set[str]] = {name: set() for name in packages}
    for module in MODULES:
        for name in imports_of(module) & set(MODULES):
            here, there = package(module), package(name)
            # A package and what is inside it are one thing: only sisters can stand in each other's way.
            if (
                here != there
                and not f"{here}.".startswith(f"{there}.")
                and not f"{there}.".startswith(f"{here}.")
            ):
                ways[here].add(there)
    for start in packages:
        seen, todo = set(), [(start, [start])]
        while todo:
            at, way = todo.pop()
            for name in ways[at]:
                assert name != start, " → ".join([*way, name])
                if name not in seen:
                    seen.add(name)
                    todo.append((name, [*way, name]))


def test_no_room_is_much_larger_than_a_sixth() -> None:
    lines = dict.fromkeys(ROOMS, 0)
    for module, path in MODULES.items():
        lines[_room(module)] += len(path.read_text().splitlines())
    total = sum(lines.values())
    assert {
        room: round(n / total, 3) for room, n in lines.items() if n > LARGEST_SHARE * total
    } == {}


def test_every_room_that_is_named_exists() -> None:
    named = {
        *IMPURE_MODULES,
        *PURE_ELSEWHERE,
        *(name for order in ORDER.values() for name in order),
    }
    assert named <= set(MODULES)


def test_the_roof_knows_every_table() -> None:
    """Whatever else a process has imported: a migration compares the database with all tables."""
    tree = ast.parse((ROOT / "hotline/machine/tables.py").read_text(encoding="utf-8"))
    known = {
        name.name for one in ast.walk(tree) if isinstance(one, ast.Import) for name in one.names
    }
    assert known == {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for room in ROOMS
        for path in (ROOT / room).rglob("tables.py")
        if path != ROOT / "hotline/machine/tables.py"
    }


@pytest.mark.parametrize(
    ("loaded", "spared"),
    [
        # Only the recorder and what reads a recording from the store need it: a sixth of a second at each start.
        ("hotline.controller.serve, web.app", "recorder.vault.store"),
        # A report asks for rows and hears nothing: a quarter of a second.
        ("metrics.reports.sla", "numpy"),
        ("metrics.reports.sla", "pydub"),
    ],
)
def test_a_start_loads_only_what_it_needs(loaded: str, spared: str) -> None:
    asked = f"import sys, {loaded}; print({spared!r} in sys.modules)"
    command = [sys.executable, "-c", asked]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "False\n"
