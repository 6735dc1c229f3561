"""The soak, short: calls of all shapes, every fault once and quickly, and everything agrees (`make soak`)."""

import pytest

from tests.soak.soak import Load, Soak

SHORT = {"calls": 150, "rate": 2.5, "every": 2.5, "agents": 8, "short": True}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_everything_agrees_after_calls_and_faults(database: str) -> None:
    said: list[str] = []
    with Soak(Load(**SHORT, seed=7, database=database), said.append) as soak:  # type: ignore[arg-type]
        verdict = await soak.run()
    assert not verdict.disagreements, "\n".join([*said, verdict.text()])
