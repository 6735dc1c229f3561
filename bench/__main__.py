"""`make bench`, or `python -m bench [--quick] [--json FILE] [--only …]`: prints the table of `docs/numbers.md`."""

import argparse
import asyncio
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import orjson

from base.settings import SettingsError
from base.settings import load as load_settings
from bench import (
    audit,
    fanout,
    floor,
    listening,
    memory,
    press,
    rate,
    report,
    search,
    simulator,
    stalls,
    unfinished,
    vault,
    voice,
    words,
)
from bench.figures import table
from bench.measure import NAMES, QUICK, Results, Workload, measure, table_rows
from bench.side import stop_on_sigterm
from hotline.machine.programs import ProgramError, find_asterisk
from speech.model import SpeechError

_QUIET = 0.5


def _floor(quick: bool) -> None:
    floor.main(["--quick"] if quick else [])


def _simulator(quick: bool) -> None:
    size = (simulator.CALLS // 10, simulator.LEAST_CALLS // 10) if quick else ()
    print(table(simulator.measure(*size), beside="one processor"))


def _report(quick: bool) -> None:
    print(table(report.measure(report.CALLS // 10 if quick else report.CALLS), beside=""))


def _search(quick: bool) -> None:
    print(table(search.measure(search.DAYS // 20 if quick else search.DAYS), beside=""))


def _audit(quick: bool) -> None:
    print(table(audit.measure(audit.CALLS // 10 if quick else audit.CALLS), beside=""))


def _vault(_quick: bool) -> None:
    print(table(vault.measure(), beside=""))


def _press(quick: bool) -> None:
    size = (press.LENGTHS[:2], 1) if quick else (press.LENGTHS, press.ROUNDS)
    print(table(press.measure(*size), beside="ffmpeg"))


def _unfinished(quick: bool) -> None:
    files = unfinished.FILES // 20 if quick else unfinished.FILES
    print(table(unfinished.measure(files), beside=""))


def _listening(quick: bool) -> None:
    print(table(listening.measure(360 if quick else 3600), beside="plain, static server"))


def _voice(quick: bool) -> None:
    rounds = voice.ROUNDS // 10 if quick else voice.ROUNDS
    print(table(voice.measure(rounds), beside="silencedetect"))


def _screens(quick: bool) -> None:
    print(table(fanout.measure(fanout.SECONDS / 4 if quick else fanout.SECONDS), beside=""))


def _stalls(quick: bool) -> None:
    print(table(stalls.measure(stalls.CALLS // 10 if quick else stalls.CALLS), beside=""))


def _memory(quick: bool) -> None:
    print(table(memory.measure(memory.CALLS // 100 if quick else memory.CALLS), beside=""))


def _words(quick: bool) -> None:
    print(table(words.measure(load_settings(), quick)))


def _rate(quick: bool) -> None:
    print(table(rate.measure_rate(*((1, 10) if quick else (rate.ROUNDS, 20))), beside=""))


def _size(quick: bool) -> None:
    print(table(rate.measure_size(*((1, 15) if quick else (rate.ROUNDS, 30))), beside=""))


_ALONE: Final[Mapping[str, Callable[[bool], None]]] = {
    "floor": _floor,
    "rate": _rate,
    "size": _size,
    "simulator": _simulator,
    "report": _report,
    "search": _search,
    "audit": _audit,
    "vault": _vault,
    "press": _press,
    "unfinished": _unfinished,
    "listening": _listening,
    "voice": _voice,
    "screens": _screens,
    "stalls": _stalls,
    "memory": _memory,
    "words": _words,
}
"""Measurements that need no Asterisk: each prints its table, and takes whether to be quick."""
_EXTRA: Final = ("words", "memory")
"""The one needs the extra `speech`, the other half an hour: they are measured only if they are asked for."""
_HELP: Final = (
    "some measurements; all are without words, which needs the extra `speech` and its model, "
    "and without memory, which takes half an hour"
)


def main() -> int:
    """Run the bench. Status 0 when everything was measured, for any figures; 1 when it could not be."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: a look, not figures")
    parser.add_argument("--rounds", type=int, help="rounds of each side; 5, or 1 with --quick")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all values to FILE")
    every = (*NAMES, *_ALONE)
    usual = tuple(name for name in every if name not in _EXTRA)
    parser.add_argument("--only", choices=every, nargs="+", default=usual, help=_HELP)
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else Workload()
    if arguments.rounds is not None:
        plan = replace(plan, rounds=max(arguments.rounds, 1))
    stop_on_sigterm()
    load = os.getloadavg()[0]
    began = time.monotonic()
    try:
        print(f"{machine()}\nload at the start: {load:.2f}", flush=True)
        if load > _QUIET:
            print(
                "warning: other programs use this machine now; the figures will be worse and less certain",
                flush=True,
            )
        results = Results()
        if set(arguments.only) - _ALONE.keys():
            say = partial(_say, began)
            results = asyncio.run(measure(plan, arguments.only, say))
    except (ProgramError, SettingsError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    print(f"\n{machine()}")
    print(f"{plan.rounds} rounds of each side in turn; {_company(load, results)}\n")
    if set(arguments.only) - _ALONE.keys():
        print(table(table_rows(results)), end="\n\n")
    try:
        for name, show in _ALONE.items():
            if name in arguments.only:
                show(arguments.quick)
    except (SpeechError, ProgramError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    if arguments.json:
        written = {"machine": machine(), "load": load, "plan": plan, "results": results}
        options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
        arguments.json.write_bytes(orjson.dumps(written, option=options))
    return 0


def machine() -> str:
    """Processors, their model, and the versions of what was measured."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    name = model[1].strip() if model else platform.machine()
    # It says its version with status 99.
    said = subprocess.run(["sipp", "-v"], capture_output=True, text=True, check=False).stdout
    sipp = re.search(r"v([0-9.]+)", said)
    return (
        f"{os.cpu_count()} × {name}, Asterisk {find_asterisk().version}, "
        f"SIPp {sipp[1] if sipp else '?'}, Python {platform.python_version()}"
    )


def _company(load: float, results: Results) -> str:
    """How alone the bench was on this machine."""
    said = f"load {load:.2f} at the start"
    if results.others:
        said += f", other programs kept {median(results.others):.1f} processors busy meanwhile"
    return said


def _say(began: float, said: str) -> None:
    print(f"[{time.monotonic() - began:4.0f} s] {said}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
