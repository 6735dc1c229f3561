"""Ten thousand histories, each checked after every fact (`tests.acd.world` says against which promises)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.acd.world import World

HISTORIES = 10_000
PARTS = 10


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(PARTS))
def test_the_promises_hold_in_every_history(part: int) -> None:
    for seed in range(part, HISTORIES, PARTS):
        try:
            World(seed).run(steps=40)
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}: {broken}") from broken


@given(st.integers(min_value=HISTORIES))
@settings(max_examples=50)
def test_the_promises_hold_in_long_histories(seed: int) -> None:
    World(seed).run(steps=300)
