"""The rights of every file of a centre that has been used."""

import os
import stat
from pathlib import Path

from facts import RecordingFinished
from softphone.phones import Phones
from tests.live.centre import NUMBER, Centre


def open_to_others(root: Path) -> dict[str, str]:
    """What somebody else may read or write, with its rights."""
    found = {}
    for path in [root, *root.rglob("*")]:
        mode = path.lstat().st_mode
        # The test's own log lies there too.
        if not stat.S_ISLNK(mode) and mode & 0o077 and path.name != "up.log":
            found[str(path.relative_to(root))] = stat.filemode(mode)
    return found


async def test_nobody_else_reads_what_a_centre_writes() -> None:
    before = os.umask(0o022)
    try:
        with Centre() as centre:
            centre.add_agent("1001")
            centre.shorten_greeting()
            async with Phones(centre.sip) as phones:
                agent = await centre.agent(phones, "1001", answer_after=0.1)
                leg = await phones.citizen("13900000001").dial(NUMBER)
                await leg.until_hears(agent.tone, 18)
                await leg.hang_up()
                await centre.fact(RecordingFinished, 15)
            # Prompts of the test's own, made with its umask.
            found = open_to_others(centre.home)
            assert not {name: mode for name, mode in found.items() if "prompts" not in name}
            assert stat.S_IMODE((centre.home / "hotline.db").stat().st_mode) == 0o600

            # As an earlier version would have left it.
            centre.stop()
            for path in [centre.home, *centre.home.rglob("*")]:
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() else 0o644)
            assert "✗" in centre.run("check", status=1)
            centre.start()
            assert not open_to_others(centre.home)
            assert "can be read by others" not in centre.run("check", status=None)
            assert not centre.complaints(), "\n".join(centre.complaints())
    finally:
        os.umask(before)
