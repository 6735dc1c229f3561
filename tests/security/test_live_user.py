"""A centre that root starts runs as an unprivileged user, whole: also one whose home was root's before."""

import contextlib
import json
import os
import pwd
from pathlib import Path

import pytest

from facts import RecordingFinished
from softphone.phones import Phones
from tests.live.centre import NUMBER, Centre

NOBODY = pwd.getpwnam("nobody").pw_uid

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


def users(centre: Centre) -> dict[str, set[int]]:
    """Every process of this centre → all of its user ids (real, effective, saved, of the file system)."""
    found = {}
    # redis-server writes its name over its environment.
    redis = int((centre.home / "run" / "hotline-redis.pid").read_text().split()[0])
    for pid, command in {**centre.processes(), redis: "redis-server"}.items():
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            (line,) = [line for line in status.splitlines() if line.startswith("Uid:")]
            found[command] = {int(number) for number in line.split()[1:]}
    return found


async def a_call(centre: Centre, caller: str, count: int) -> None:
    centre.shorten_greeting()
    async with Phones(centre.sip) as phones:
        agent = await centre.agent(phones, "1001", answer_after=0.1)
        leg = await phones.citizen(caller).dial(NUMBER)
        await leg.until_hears(agent.tone, 18)
        await centre.until(lambda: leg.seconds_of(agent.tone) > 1.5, 10, "a talk")
        await leg.hang_up()
        assert (await centre.call(caller))["outcome"] == "human"
        await centre.fact(RecordingFinished, 15, count=count)


async def test_every_process_is_an_unprivileged_users() -> None:
    with Centre() as centre:
        # An installation of before: root's.
        centre.add_agent("1001")
        await a_call(centre, "13900000001", 1)
        assert set().union(*users(centre).values()) == {0}
        centre.environment["HOTLINE_USER"] = "nobody"
        assert "runs as another user: stop `hotline up`" in centre.run("check", status=1)
        centre.stop()

        centre.start()
        found = users(centre)
        for name in ("asterisk", "redis-server", " serve", " recorder", " web", " up"):
            assert any(name in command for command in found), found
        assert set().union(*found.values()) == {NOBODY}, found
        # The prompts of the test itself are root's.
        centre.expected.append(f'"first":"{centre.home}/prompts/')
        await a_call(centre, "13900000002", 2)
        # What was there before goes on, and what root types works.
        assert [row["caller"][-1] for row in await centre.calls()] == ["2", "1"]
        centre.add_agent("1002")
        centre.run("recordings", "verify")
        assert json.loads(centre.run("alarm", "list", "--format", "json")) == []
        assert "this is root" not in centre.run("check", status=None)
        # And so is its log.
        owned = {
            str(path.relative_to(centre.home)): path.lstat().st_uid
            for path in (centre.home, *centre.home.rglob("*"))
            if path.name != "up.log" and "prompts" not in path.parts and path.name != "hotline"
        }
        assert {name for name, owner in owned.items() if owner != NOBODY} == set()
        assert not centre.complaints(), "\n".join(centre.complaints())
