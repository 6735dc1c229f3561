"""`make soak`, or `python -m tests.soak [--calls 3000 --every 10 --database postgresql --seed N]`.

Status 0: all agrees; 1: something does not; 2: it could not be run.
"""

import argparse
import asyncio
import signal
import sys
import time

from tests.soak.faults import FAULTS
from tests.soak.soak import Load, Soak


def main() -> int:
    """Run a soak and print what struck when, and every disagreement."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--calls", type=int, default=Load.calls)
    parser.add_argument("--rate", type=float, default=Load.rate, help="new calls a second")
    parser.add_argument("--every", type=float, default=Load.every, help="seconds between faults")
    parser.add_argument("--agents", type=int, default=Load.agents)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default=Load.database)
    parser.add_argument("--seed", type=int, default=Load.seed)
    parser.add_argument("--short", action="store_true", help="every fault is quick")
    parser.add_argument("--only", nargs="+", choices=[*FAULTS], default=(), help="some faults")
    asked = parser.parse_args()
    began = time.monotonic()

    def say(said: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {said}", flush=True)

    load = Load(
        calls=asked.calls,
        rate=asked.rate,
        every=asked.every,
        agents=asked.agents,
        seed=asked.seed,
        database=asked.database,
        short=asked.short,
        only=tuple(asked.only),
    )
    # What was started is ended, however this ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    with Soak(load, say) as soak:
        verdict = asyncio.run(soak.run())
    print(f"\n{asked.calls} calls on {asked.database}, seed {asked.seed}\n{verdict.text()}")
    return 1 if verdict.disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
