"""No call can be recorded, and the centre wants none unrecorded: new callers hear why and are let go, talks go on."""

from collections.abc import Iterator

import pytest

from facts import CallbackAdded, CallQueued, OfferMade
from softphone.phones import Phones
from tests.live import sounds
from tests.live.centre import NUMBER, Centre, until_talk
from tests.live.test_unrecordable import SECONDS, only_to_read, small_disk, until_alarm

pytestmark = pytest.mark.timeout(120)

TALKING, REFUSED = "13957000011", "13957000012"


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    centre = Centre(without_recording="refuse")
    with small_disk(centre.home / "recordings" / "spool"), centre:
        centre.add_agent("1001", "1002")
        centre.shorten_greeting()
        yield centre


async def test_new_callers_hear_that_the_hotline_has_a_fault_and_reach_nobody(
    centre: Centre, phones: Phones
) -> None:
    centre.expected += ["recording", "Read-only", "MixMonitor", "write"]
    agents = [await centre.agent(phones, one, answer_after=0.2) for one in ("1001", "1002")]
    talking = await phones.citizen(TALKING).dial(NUMBER)
    await until_talk(talking, agents[0].tone, 15)
    with only_to_read(centre.home / "recordings" / "spool"):
        await until_alarm(centre, raised=True, within=SECONDS)
        refused = await phones.citizen(REFUSED).dial(NUMBER)
        await refused.until_ended(15)
        assert sounds.spoken("system_failure", refused.heard()) > 0.4
        assert not any(refused.hears(one.tone) for one in agents)
        row = await centre.call(REFUSED)
        assert (row["outcome"], row["agents"], row["recording_seconds"]) == (
            "system_failure",
            [],
            None,
        )
        for kind in (CallQueued, OfferMade):
            assert not centre.facts(kind, call=row["id"]), "an agent is ready, and is not asked"
        assert talking.talking, "whoever talks already is not cut off"
        await talking.hang_up()
        await centre.fact(CallbackAdded)
        added = [fact.number[-11:] for fact in centre.facts(CallbackAdded)]
        assert added == [REFUSED], "whoever was lost is called back as ever"
