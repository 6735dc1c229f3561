"""`make mutants`: puts small faults into the pure modules, one at a time; the tests must notice (docs/mutants.md).

    python -m tests.mutants                            every pure module
    python -m tests.mutants acd/strategy.py ivr        some modules, or rooms
    python -m tests.mutants --sample 600 --minutes 30  a part of all, the same one for the same --seed

mutmut writes all mutants of a function beside it, imports everything once, and forks for each mutant, which then meets
only those tests that call the function. What a run has found out is kept in `mutants/`: the next one asks only about
those that were not killed, unless the function has changed. `mutmut show NAME` prints one.
"""

import argparse
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

import mutmut.__main__ as mutmut
from mutmut.configuration import config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.stats import status_by_exit_code
from mutmut.workers.isolation import MutantRunner

from tests.test_architecture import MODULES, PURE

ROOT = Path(__file__).parent.parent
KILLED = {"killed", "timeout", "segfault"}

TESTS = {
    "base": ("tests/base/test_bounded.py",),
    "facts": ("tests/facts", "tests/acd", "tests/telephony", "tests/metrics/test_fold.py"),
    "agents": ("tests/agents", "tests/acd"),
    "acd": ("tests/acd", "tests/metrics/test_callbacks.py"),
    "ivr": ("tests/ivr",),
    "telephony": ("tests/telephony",),
    "recorder": (
        *("tests/recorder/test_policy.py", "tests/recorder/test_policy_bounds.py"),
        *("tests/recorder/test_audit.py", "tests/recorder/test_evidence.py"),
    ),
    "metrics": (
        *("tests/metrics/test_callbacks.py", "tests/metrics/test_exporter.py"),
        *("tests/metrics/test_fold.py", "tests/metrics/test_identity.py"),
        *("tests/metrics/test_live.py", "tests/metrics/test_reports.py"),
        *("tests/metrics/test_window.py", "tests/metrics/test_fold_recorded.py"),
        "tests/metrics/test_figures_approved.py",
    ),
    "alarms": ("tests/alarms/test_rules.py",),
    "planning": ("tests/planning/test_erlang.py",),
    "web": (
        *("tests/web/test_access.py", "tests/web/test_limit.py"),
        *("tests/web/test_masked.py", "tests/web/test_session.py"),
    ),
}
"""The tests that a room's mutants may meet: those of the room, and of whoever makes most of it."""

Mutant = tuple[SourceFileMutationData, str, int | None]


def main() -> None:
    asked = argparse.ArgumentParser(prog="make mutants", description=__doc__.splitlines()[0])
    asked.add_argument(
        "modules", nargs="*", help="files, folders or modules; without any, all pure ones"
    )
    asked.add_argument("--sample", type=int, default=0, help="so many mutants of all")
    asked.add_argument("--seed", type=int, default=1, help="of the sample")
    asked.add_argument("--minutes", type=float, default=0, help="of mutants; then stop")
    asked.add_argument("--list", action="store_true", help="print those that survive")
    args = asked.parse_args()
    os.chdir(ROOT)
    chosen = _chosen(args.modules)
    settings = config()
    # All of them, whatever was asked for: `mutants/` is one tree, and takes half a minute.
    settings.only_mutate = [str(_file(module)) for module in sorted(PURE)]
    settings.pytest_add_cli_args_test_selection = sorted(
        {
            test
            for module in chosen
            for test in TESTS[module.partition(".")[0]]
            if Path(test).exists()
        }
    )
    tried: list[Mutant] = []

    def collect(*, mutant_names: object) -> tuple[list[Mutant], dict[str, SourceFileMutationData]]:
        del mutant_names
        found = {str(_file(module)): _read(module) for module in chosen}
        every = [
            (data, name, code)
            for data in found.values()
            for name, code in sorted(data.exit_code_by_key.items())
        ]
        if args.sample:
            every = random.Random(args.seed).sample(every, min(args.sample, len(every)))
        tried.extend(every)
        for data, name, code in every:
            if status_by_exit_code[code] not in KILLED:
                data.exit_code_by_key[name] = None
        return [(data, name, data.exit_code_by_key[name]) for data, name, _ in every], found

    last_before_mutants = mutmut.run_forced_fail_test

    def begin(runner: MutantRunner) -> None:
        last_before_mutants(runner)
        # Not sooner: what runs in this process before, runs with pytest-timeout, which takes the timer of an alarm.
        if args.minutes:
            signal.signal(signal.SIGALRM, _stop)
            signal.alarm(round(60 * args.minutes))

    mutmut.collect_source_file_mutation_data = collect
    mutmut.run_forced_fail_test = begin
    _forget_old_stats()
    # The tests import `tests` again, from `mutants/`.
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    mutmut._run((), 1)
    _report(tried, listed=args.list)


def _forget_old_stats() -> None:
    """mutmut asks again only which functions a new test calls, not what a changed one does."""
    stats = ROOT / "mutants" / "mutmut-stats.json"
    if stats.exists() and any(
        test.stat().st_mtime > stats.stat().st_mtime for test in (ROOT / "tests").rglob("*.py")
    ):
        stats.unlink()


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _chosen(asked: list[str]) -> list[str]:
    """The pure modules that the words mean: `acd/strategy.py`, `acd.strategy`, `acd/`."""
    words = [word.removesuffix(".py").strip("/").replace("/", ".") for word in asked]
    found = [
        module
        for module in sorted(PURE)
        if not words or any(f"{module}.".startswith(f"{word}.") for word in words)
    ]
    if not found:
        sys.exit(f"mutants: {' '.join(asked)}: there is no such pure module")
    return found


def _file(module: str) -> Path:
    return MODULES[module].relative_to(ROOT)


def _read(module: str) -> SourceFileMutationData:
    data = SourceFileMutationData(path=_file(module))
    data.load()
    return data


def _report(tried: list[Mutant], *, listed: bool) -> None:
    """One line a module: killed ÷ tried; then those that survive."""
    counts: dict[str, Counter[str]] = {}
    alive = []
    for data, name, _ in tried:
        status = status_by_exit_code[data.exit_code_by_key[name]]
        counts.setdefault(str(data.path), Counter())[status] += 1
        if status not in {*KILLED, "not checked"}:
            alive.append(f"{name}: {status}")
    print(f"{'module':40} {'killed':>7} {'tried':>7}")
    for path, count in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        seen = count.total() - count["not checked"]
        killed = sum(count[status] for status in KILLED)
        left = f"  ({count['not checked']} not tried)" if count["not checked"] else ""
        if seen:
            print(f"{path:40} {killed:7} {seen:7} {killed / seen:7.1%}{left}")
    if listed:
        print(*alive, sep="\n")


if __name__ == "__main__":
    main()
