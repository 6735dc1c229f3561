"""A wall clock that jumps is noticed; one that is moved slowly is not."""

import pytest

from base.clock import ClockJumps

AT = 1_763_731_200_000_000


@pytest.mark.parametrize("seconds", [3, -3, 86_400, -86_400])
def test_a_jump_is_told_for_a_while(seconds: int) -> None:
    jumps = ClockJumps()
    assert jumps.look(AT, 100) == 0
    assert jumps.look(AT + 1_000_000, 101) == 0
    moved = AT + seconds * 1_000_000
    assert jumps.look(moved + 2_000_000, 102) == abs(seconds)
    assert jumps.look(moved + 501_000_000, 601) == abs(seconds)
    assert jumps.look(moved + 603_000_000, 703) == 0


def test_a_clock_that_is_moved_slowly_and_a_program_that_stood_still() -> None:
    jumps = ClockJumps()
    at, ticks = AT, 100.0
    for step in (1.0, 1.0, 60.0, 1.0) * 50:
        ticks += step
        at += round(step * 1_000_500)  # as fast as NTP slews: 500 ppm
        assert jumps.look(at, ticks) == 0
