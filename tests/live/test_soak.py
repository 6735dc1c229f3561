"""The soak, short: calls of all shapes, every fault once and quickly, and everything agrees (`make soak`)."""

from dataclasses import replace

import pytest

from tests.soak.soak import Load, Soak

SHORT = Load(calls=150, rate=2.5, every=2.5, agents=8, seed=7, short=True)
ON_POSTGRESQL = replace(
    SHORT,
    calls=50,
    every=5.0,
    database="postgresql",
    only=("PostgreSQL crashes", "PostgreSQL stands still", "the controller is killed"),
)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("load", [SHORT, ON_POSTGRESQL], ids=["sqlite", "postgresql"])
async def test_everything_agrees_after_calls_and_faults(load: Load) -> None:
    said: list[str] = []
    with Soak(load, said.append) as soak:
        verdict = await soak.run()
    assert not verdict.disagreements, "\n".join([*said, verdict.text()])
