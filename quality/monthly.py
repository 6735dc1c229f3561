"""One agent's month (R48): every figure with the calls that it is made of, so that each sum can be followed. Pure.

An assessment belongs to the month in China in which its call arrived, whenever it was assessed. The score that counts
is the newest one: after an appeal that of the decision.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from facts.terms import CallId
from quality import scorecard
from quality.states import COUNTS, AssessmentState


@dataclass(frozen=True, slots=True)
class Assessed:
    """One assessment as a month counts it. `score` and `first` (before an appeal): hundredths, None without one.

    `arrived`: microseconds. `lost`: points of the score by item, of the score that counts.
    """

    id: int
    call: CallId
    agent: str
    arrived: int
    state: AssessmentState
    score: int | None = None
    first: int | None = None
    passing: int = 0
    lost: Mapping[str, Fraction] = field(default_factory=dict)
    knocked_out: tuple[str, ...] = ()

    @property
    def appealed(self) -> bool:
        """Whether the agent has appealed."""
        return self.state in _APPEALED


_APPEALED: Final = frozenset(
    {AssessmentState.APPEALED, AssessmentState.UPHELD, AssessmentState.CHANGED}
)


@dataclass(frozen=True, slots=True)
class MonthFigure:
    """A figure and the assessments that it is made of, oldest call first. `value`: None where there are none."""

    name: str
    value: int | None
    of: tuple[Assessed, ...]

    @property
    def calls(self) -> list[CallId]:
        """The calls that lead to it."""
        return [one.call for one in self.of]


@dataclass(frozen=True, slots=True)
class ItemLost:
    """What one item has cost: points of the score, summed over these assessments."""

    item: str
    points: Fraction
    of: tuple[Assessed, ...]


@dataclass(frozen=True, slots=True)
class MonthlyCard:
    """An agent's month. `figures` by `FIGURES`; `lost`: the items that cost most come first."""

    agent: str
    month: str
    rows: tuple[Assessed, ...]
    figures: tuple[MonthFigure, ...]
    lost: tuple[ItemLost, ...]

    def figure(self, name: str) -> MonthFigure:
        """The figure of that name."""
        return next(one for one in self.figures if one.name == name)


_S = AssessmentState

FIGURES: Final[Mapping[str, Callable[[Assessed], bool]]] = {
    "drawn": lambda _one: True,
    "assessed": lambda one: one.state in COUNTS,
    "waiting": lambda one: one.state is _S.ASSIGNED,
    "returned": lambda one: one.state is _S.RETURNED,
    "passed": lambda one: one.score is not None and one.score >= one.passing,
    "knocked_out": lambda one: bool(one.knocked_out),
    "appeals": lambda one: one.appealed,
    "undecided": lambda one: one.state is _S.APPEALED,
    "upheld": lambda one: one.state is _S.UPHELD,
    "changed": lambda one: one.state is _S.CHANGED,
}
"""What is counted → which assessments. Beside them stands `average`, of all that have a score."""
AVERAGE: Final = "average"


def card(agent: str, month: str, assessed: Iterable[Assessed]) -> MonthlyCard:
    """An agent's card from their assessments of that month, in any order."""
    rows = tuple(sorted(assessed, key=lambda one: (one.arrived, one.id)))
    figures = [_count(name, rows, fits) for name, fits in FIGURES.items()]
    scored = tuple(one for one in rows if one.score is not None)
    mean = scorecard.average(one.score for one in scored if one.score is not None)
    figures.insert(2, MonthFigure(AVERAGE, mean, scored))
    return MonthlyCard(agent, month, rows, tuple(figures), tuple(_lost(scored)))


def _count(name: str, rows: Sequence[Assessed], fits: Callable[[Assessed], bool]) -> MonthFigure:
    found = tuple(one for one in rows if fits(one))
    return MonthFigure(name, len(found), found)


def _lost(scored: Sequence[Assessed]) -> list[ItemLost]:
    names = {name for one in scored for name in (*one.lost, *one.knocked_out)}
    found = []
    for name in names:
        of = tuple(one for one in scored if name in one.lost or name in one.knocked_out)
        points = sum((one.lost.get(name, Fraction()) for one in of), Fraction())
        found.append(ItemLost(name, points, of))
    return sorted(found, key=lambda one: (-one.points, -len(one.of), one.item))
