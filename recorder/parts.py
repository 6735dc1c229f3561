"""Parts of a recording: which are not in it as they were spoken, and why; and a citizen's reason of a bad grade. Pure.

The player shows them on the waveform: somebody who hears silence, or an end in the middle of a word, sees the reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from facts import Fact, SurveyEnded
from facts.times import SECOND
from recorder import audit, policy
from recorder.policy import GAP, RecordingState, Stretch


class PartKind(StrEnum):
    """Why a part sounds other than it was.

    hold    the agent had put the citizen on hold: the music is not recorded, the citizen is
    paused  an agent had paused the recording: silence of the same length
    asked   the phrase of `*0`: the agent heard nobody
    lost    it is not in the file, which ends before the call
    """

    HOLD = "hold"
    PAUSED = "paused"
    ASKED = "asked"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class RecordingPart:
    """One part: its place in the file (`begin`, `end`) and what is not in it (`lost`), all in microseconds.

    `agent`: whose talk it is in, or empty. `state`: what the ledger says of the file. `lost` is 0 in a part that is
    there, and where nothing tells how much is missing.
    """

    kind: PartKind
    agent: str
    begin: int
    end: int
    lost: int = 0
    state: RecordingState = RecordingState.FINISHED

    def text(self, lang: str = "zh") -> str:
        """The sentence for people, which names nobody. `lang`: zh or en."""
        if self.kind is not PartKind.LOST:
            return _SAID[lang][self.kind]
        why = _WHY[lang].get(self.state, _WHY[lang][RecordingState.FINISHED])
        if not self.lost:
            return why
        return _SAID[lang][PartKind.LOST].format(lost=self.lost / SECOND, why=why)


_SAID: Final[Mapping[str, Mapping[PartKind, str]]] = {
    "zh": {
        PartKind.HOLD: "保持：音乐不录，市民一侧照录",
        PartKind.PAUSED: "录音暂停：此段为等长静音",
        PartKind.ASKED: "播放 *0 询问语：此前话务员听不到市民",
        PartKind.LOST: "此后缺 {lost:.1f} 秒：{why}",
    },
    "en": {
        PartKind.HOLD: "on hold: the music is not recorded, the citizen is",
        PartKind.PAUSED: "the recording was paused: silence of the same length",
        PartKind.ASKED: "the phrase of *0: the agent had heard nobody",
        PartKind.LOST: "{lost:.1f} s are missing from here on: {why}",
    },
}
_WHY: Final[Mapping[str, Mapping[RecordingState, str]]] = {
    "zh": {
        RecordingState.CUT_OFF: "录音中断，Asterisk 或主机在通话中停止",
        RecordingState.SHORT: "部分通话没有录上",
        RecordingState.FINISHED: "录音先于来电结束",
    },
    "en": {
        RecordingState.CUT_OFF: "the recording was cut off: Asterisk or the machine died in the call",
        RecordingState.SHORT: "some of a talk was not recorded",
        RecordingState.FINISHED: "the recording ended before the call",
    },
}


def parts_of(
    facts: Sequence[Fact], duration: int, state: RecordingState = RecordingState.FINISHED
) -> list[RecordingPart]:
    """The parts of one call's recording, by place. `facts` in any order; `duration` of the file, in microseconds."""
    known = policy.times(facts)
    if known.arrived is None:
        return []
    talks = policy.talks(facts, known.ended)
    began = audit.file_begins(known, duration)
    found = [
        RecordingPart(kind, one.agent, begin, end)
        for kind, stretches in (
            (PartKind.HOLD, audit.holds(facts, talks)),
            (PartKind.PAUSED, policy.pauses(facts, talks)),
            (PartKind.ASKED, audit.asked(facts, talks, known.ended)),
        )
        for one, begin, end in placed(stretches, began, duration)
    ]
    lost = 0 if known.ended is None else known.ended - began - duration
    if lost > GAP or state is RecordingState.CUT_OFF:
        found.append(
            RecordingPart(PartKind.LOST, "", duration, duration, lost if lost > GAP else 0, state)
        )
    return sorted(found, key=lambda one: (one.begin, one.end, one.kind))


def reasons_of(facts: Sequence[Fact], duration: int) -> list[Stretch]:
    """Where citizens say why they gave a bad grade, and after which agent's talk: places in the file, microseconds."""
    known = policy.times(facts)
    if known.arrived is None:
        return []
    said = sorted(
        {
            (one.reason_at, one.reason_at + one.reason, one.agent)
            for one in facts
            if isinstance(one, SurveyEnded) and one.reason_at
        }
    )
    stretches = [Stretch(agent, begin, end) for begin, end, agent in said]
    began = audit.file_begins(known, duration)
    return [
        Stretch(one.agent, begin, end) for one, begin, end in placed(stretches, began, duration)
    ]


def placed(
    stretches: Iterator[Stretch] | Sequence[Stretch], began: int, duration: int
) -> Iterator[tuple[Stretch, int, int]]:
    """Each stretch with its begin and end in a file that began at `began`; those outside it are left out."""
    for one in stretches:
        begin, end = max(0, one.begin - began), min(duration, one.end - began)
        if begin < end:
            yield one, begin, end
