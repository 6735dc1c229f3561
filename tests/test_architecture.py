"""Who may import whom (ARCHITECTURE.md), read from the source without running it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("acd", "agents", "ivr", "metrics", "recorder", "telephony", "wallboard", "hotline")

TOOLS = {
    "hotline.bus",
    "hotline.clock",
    "hotline.db",
    "hotline.log",
    "hotline.settings",
    "hotline.tasks",
}
"""Modules that everybody may import, and that import nothing of ours but each other."""

PURE = {
    "acd.callback",
    "acd.caller",
    "acd.commands",
    "acd.entry",
    "acd.erlang",
    "acd.events",
    "acd.floor",
    "acd.lane",
    "acd.model",
    "acd.ruleedit",
    "acd.rules",
    "acd.ruletext",
    "acd.strategy",
    "agents.model",
    "agents.pause",
    "agents.presence",
    "ivr.agi",
    "ivr.hours",
    "ivr.phrases",
    "ivr.reception",
    "ivr.script",
    "metrics.alarms",
    "metrics.callbacks",
    "metrics.fold",
    "metrics.live",
    "metrics.people",
    "metrics.period",
    "metrics.sums",
    "metrics.window",
    "recorder.policy",
    "telephony.calls",
    "telephony.cel",
    "telephony.queue_log",
    "wallboard.limit",
    "wallboard.rights",
}
IMPURE = {"asyncio", "sqlalchemy", "redis", "panoramisk", "structlog", "time", "random"}

MAY_IMPORT = {
    "agents": set(),
    "acd": {"agents"},
    "ivr": {"acd", "agents"},
    "recorder": {"acd", "agents"},
    "metrics": {"acd", "agents"},
    "telephony": {"acd", "agents"},
    "wallboard": {"acd", "agents", "metrics", "recorder"},
    "hotline": set(PACKAGES),
}


def _modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = _modules()


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names |= {
                f"{module}.{alias.name}" if f"{module}.{alias.name}" in MODULES else module
                for alias in node.names
            }
    return names


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_follow_the_rules(module: str) -> None:
    package = module.partition(".")[0]
    for name in _imports(MODULES[module]):
        other = name.partition(".")[0]
        if module in TOOLS:
            assert other not in PACKAGES or name in TOOLS, f"{module} imports {name}"
        elif other in PACKAGES and other != package and name not in TOOLS:
            assert other in MAY_IMPORT[package], f"{module} imports {name}"


@pytest.mark.parametrize("module", sorted(PURE & set(MODULES)))
def test_pure_modules_do_no_io(module: str) -> None:
    assert not {name.partition(".")[0] for name in _imports(MODULES[module])} & IMPURE


def test_every_pure_module_exists() -> None:
    assert set(MODULES) >= PURE
