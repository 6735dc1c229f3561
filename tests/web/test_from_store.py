"""A recording that only the store has is heard through the API as one that lies here: whole, or in parts."""

import hashlib

import pytest

from base import clock
from facts.times import SECOND
from recorder import finishing
from recorder.vault.uploads import Uploads
from tests.seaweed import Seaweed, proxied
from tests.web.conftest import Web
from web.accounts.rights import Role

pytestmark = pytest.mark.live

CALL = "hotline-1763731200.8"
RAW = bytes(number * 7 % 251 for number in range(4 * 8000 * 10)) * 40
"""400 seconds: 13 MB."""


async def test_an_encrypted_recording_in_the_store_is_heard_in_parts(
    web: Web, seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = seaweed.make_one("web")
    async with proxied(seaweed) as (proxy, before):
        settings = before.settings(web.settings.home, bucket, recording_format="wav")
        settings.spool_dir.mkdir(parents=True, exist_ok=True)
        (settings.spool_dir / f"{CALL}.raw").write_bytes(RAW)
        entry = await finishing.finish(web.engine, settings, CALL)
        loop = Uploads(web.engine, settings)
        await loop.look(clock.now())
        await loop.look(clock.now() + SECOND)
        assert entry.cipher_sha256
        assert not (settings.recordings_dir / entry.path).exists()
        monkeypatch.setattr(web.backend, "settings", settings)
        client, address = web.clients[Role.AUDITOR], f"/api/calls/{CALL}/recording"

        received = proxy.received
        part = await client.get(address, headers={"Range": "bytes=2000044-2000143"})
        assert (part.status_code, part.content) == (206, RAW[2_000_000:2_000_100])
        assert part.headers["content-range"] == f"bytes 2000044-2000143/{entry.size}"
        # The sound is opened once, for its length and for the part: slot, ends and part, with what is read ahead.
        assert proxy.received - received < 3 << 19

        whole = await client.get(address)
        assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/wav")
        assert hashlib.sha256(whole.content).hexdigest() == entry.sha256
        assert whole.content[44:] == RAW
        last = await client.get(address, headers={"Range": "bytes=-500"})
        assert (last.status_code, last.content) == (206, RAW[-500:])

        proxy.up = False
        away = await client.get(address, headers={"Range": "bytes=100-199"})
        assert away.status_code == 503
