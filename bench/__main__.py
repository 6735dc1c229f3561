"""`make bench`, or `python -m bench [--quick] [--json FILE] [--only …]`: prints the table of `docs/numbers.md`."""

import argparse
import asyncio
import os
import platform
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

import orjson

from base.settings import SettingsError
from base.settings import load as load_settings
from bench import audit, floor, listening, press, report, vault, voice, words
from bench.figures import table
from bench.measure import NAMES, QUICK, Results, Workload, measure, table_rows
from bench.side import stop_on_sigterm
from hotline.machine.programs import ProgramError, find_asterisk
from speech.model import SpeechError

_QUIET = 0.5
_FLOOR = "floor"
_REPORT = "report"
_AUDIT = "audit"
_VAULT = "vault"
_PRESS = "press"
_LISTENING = "listening"
_VOICE = "voice"
_WORDS = "words"
_ALONE = {_FLOOR, _REPORT, _AUDIT, _VAULT, _PRESS, _LISTENING, _VOICE, _WORDS}
"""Measurements that need no Asterisk."""
_HELP = "some measurements; words is none of all: it needs the extra `speech` and its model"


def main() -> int:
    """Run the bench. Status 0 when everything was measured, for any figures; 1 when it could not be."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: a look, not figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all values to FILE")
    names = (*NAMES, _FLOOR, _REPORT, _AUDIT, _VAULT, _PRESS, _LISTENING, _VOICE)
    parser.add_argument("--only", choices=(*names, _WORDS), nargs="+", default=names, help=_HELP)
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else Workload()
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
        if set(arguments.only) - _ALONE:
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
    if set(arguments.only) - _ALONE:
        print(table(table_rows(results)), end="\n\n")
    if _FLOOR in arguments.only:
        floor.main(["--quick"] if arguments.quick else [])
    if _REPORT in arguments.only:
        print(table(report.measure(report.CALLS // 10 if arguments.quick else report.CALLS)))
    if _AUDIT in arguments.only:
        print(table(audit.measure(audit.CALLS // 10 if arguments.quick else audit.CALLS)))
    if _VAULT in arguments.only:
        print(table(vault.measure()))
    if _PRESS in arguments.only:
        quick = (press.LENGTHS[:2], 1) if arguments.quick else (press.LENGTHS, press.ROUNDS)
        print(table(press.measure(*quick)))
    if _WORDS in arguments.only:
        try:
            print(table(words.measure(load_settings(), arguments.quick)))
        except SpeechError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    if _LISTENING in arguments.only:
        print(
            "left: the same sound plain, from a static server; right: encrypted, from hotline web"
        )
        print(table(listening.measure(360 if arguments.quick else 3600)))
    if _VOICE in arguments.only:
        rounds = voice.ROUNDS // 10 if arguments.quick else voice.ROUNDS
        print(table(voice.measure(rounds), beside="silencedetect"))
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
