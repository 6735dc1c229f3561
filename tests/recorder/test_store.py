"""One bucket of a store: what is put is proven, what is wrong is said, and nobody's key is shown."""

import asyncio
import hashlib
import io
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from base.settings import Settings, SettingsError, load
from facts.times import DAY, SECOND
from recorder.vault import signed, store
from recorder.vault.signed import AccessKey
from recorder.vault.store import FilePrint, Store, print_of
from recorder.vault.trouble import StoreError, StoreTrouble
from tests.seaweed import KEY, READER, Seaweed, proxied

PATH = "2025/11/21/hotline-1763731200.1.wav"
SOON = timedelta(seconds=1)


def sound(folder: Path, size: int = 20_000, seed: bytes = b"a") -> Path:
    """A file of that size which no two seeds share."""
    file = folder / f"sound-{seed.decode()}"
    block = hashlib.sha512(seed).digest()
    file.write_bytes((block * (size // len(block) + 1))[:size])
    return file


def sizes(seaweed: Seaweed, folder: Path, bucket: str) -> list[int]:
    """The sizes of all objects, asked without a proxy, which this thread serves."""
    return [one.size for one in Store(seaweed.settings(folder, bucket)).listed()]


def settings_of(tmp_path: Path, **more: object) -> Settings:
    return Seaweed(1).settings(tmp_path, "bucket", **more)


# --- settings


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"recording_store": "s3://key:secret@bucket"},
            "HOTLINE_RECORDING_STORE: this is no bucket",
        ),
        ({"recording_store": "https://bucket"}, "HOTLINE_RECORDING_STORE: this is no bucket"),
        ({"recording_store": "s3://one,two"}, "HOTLINE_RECORDING_STORE: this is no bucket"),
        ({"recording_store": "s3://bucket/../x"}, None),
        (
            {"store_endpoint": "https://key:secret@host"},
            "HOTLINE_STORE_ENDPOINT: this is no endpoint",
        ),
        ({"store_endpoint": "https://host/path?key=secret"}, "HOTLINE_STORE_ENDPOINT: this is no"),
        ({"store_endpoint": "http://10.0.0.9:8333"}, "HOTLINE_STORE_ENDPOINT has no TLS"),
        ({"store_endpoint": "http://localhost.example.com"}, "HOTLINE_STORE_ENDPOINT has no TLS"),
        ({"store_endpoint": "http://127.0.0.1:8333"}, None),
        ({"store_endpoint": "http://[::1]:8333"}, None),
        ({"store_endpoint": "http://localhost:8333"}, None),
        ({"store_endpoint": "http://10.0.0.9:8333", "store_plain_http": True}, None),
        ({"store_endpoint": "https://oss.example.com"}, None),
    ],
)
def test_where_the_store_is(given: dict[str, object], said: str | None) -> None:
    if said is None:
        load(**given)
        return
    with pytest.raises(SettingsError) as caught:
        load(**given)
    assert said in str(caught.value)
    assert "secret@" not in str(caught.value)
    assert "=secret" not in str(caught.value)


def test_the_access_key_comes_from_the_settings_or_from_its_file(tmp_path: Path) -> None:
    assert store.access_key(settings_of(tmp_path)) == KEY
    bare = settings_of(tmp_path, store_key_id="", store_secret="")
    with pytest.raises(StoreError, match="access key is not set: write its id"):
        store.access_key(bare)
    bare.secrets_dir.mkdir()
    (bare.secrets_dir / store.FILE).write_text("hotline\n")
    with pytest.raises(StoreError, match="access key is not set"):
        store.access_key(bare)
    (bare.secrets_dir / store.FILE).write_text("hotline\nsecret-of-the-store\n")
    assert store.access_key(bare) == KEY


def test_no_representation_shows_the_secret(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    for one in (settings, store.access_key(settings), Store(settings)):
        assert KEY.secret not in repr(one)


# --- signing


def test_the_signature_is_that_of_amazons_example() -> None:
    """ "Get bucket lifecycle" of "Authenticating Requests: Using the Authorization Header"."""
    example = AccessKey(
        "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1"
    )
    head = signed.headers(
        example,
        "GET",
        "https://examplebucket.s3.amazonaws.com/",
        now=datetime(2013, 5, 24, tzinfo=UTC),
        query=signed.canonical_query({"lifecycle": ""}),
    )
    assert head["authorization"].endswith(
        "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
    )


def test_a_query_is_sorted_and_escaped() -> None:
    assert (
        signed.canonical_query({"versions": "", "prefix": "a/b c"}) == "prefix=a%2Fb%20c&versions="
    )


async def test_an_answer_without_an_end_is_cut_off() -> None:
    def endless(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=bytes(signed.MOST + 1))

    async with httpx.AsyncClient(transport=httpx.MockTransport(endless)) as client:
        with pytest.raises(ValueError, match="too long"):
            await signed.ask(client, KEY, "GET", "http://127.0.0.1/b", now=datetime.now(UTC))


# --- a real server


@pytest.mark.live
async def test_what_is_put_is_there_and_can_be_read_from_anywhere(
    seaweed: Seaweed, tmp_path: Path
) -> None:
    seaweed.make("plain")
    bucket = Store(seaweed.settings(tmp_path, "plain"))
    for size in (0, 1, 20_000, 3 * store.PART + 5):
        file = sound(tmp_path, size)
        key = f"{PATH}.{size}"
        await bucket.put(file, key, print_of(file), None)
        assert await bucket.size(key) == size
        with bucket.open(key) as opened:
            assert opened.read() == file.read_bytes()
    assert {one.key: one.size for one in bucket.listed("2025/11/21")} == {
        f"{PATH}.{size}": size for size in (0, 1, 20_000, 3 * store.PART + 5)
    }
    assert list(bucket.listed("2025/11/22")) == []
    assert await bucket.probe() == []


@pytest.mark.live
async def test_a_seek_fetches_only_what_is_read(seaweed: Seaweed, tmp_path: Path) -> None:
    seaweed.make("seek")
    file = sound(tmp_path, 20 << 20)
    async with proxied(seaweed) as (proxy, before):
        bucket = Store(before.settings(tmp_path, "seek"))
        await bucket.put(file, PATH, print_of(file), None)
        proxy.seen.clear()

        def look() -> None:
            with bucket.open(PATH) as opened:
                assert opened.seek(0, io.SEEK_END) == 20 << 20
                opened.seek(15_000_000)
                assert opened.read(100) == file.read_bytes()[15_000_000:15_000_100]

        await asyncio.to_thread(look)
        ranges = [line.rpartition("bytes=")[2] for line in proxy.seen if "ange:" in line]
        assert ranges == [f"15000000-{15_000_000 + store.RANGE - 1}"]


@pytest.mark.live
async def test_to_put_again_leaves_one_object(seaweed: Seaweed, tmp_path: Path) -> None:
    seaweed.make("again")
    one, other = sound(tmp_path), sound(tmp_path, seed=b"b")
    async with proxied(seaweed) as (proxy, before):
        bucket = Store(before.settings(tmp_path, "again"))
        await bucket.put(one, PATH, print_of(one), None)
        proxy.seen.clear()
        await bucket.put(one, PATH, print_of(one), None)
        assert not [line for line in proxy.seen if line.startswith("PUT")]
        with pytest.raises(StoreError, match="another object under the name") as caught:
            await bucket.put(other, PATH, print_of(other), None)
        assert caught.value.trouble is StoreTrouble.OTHER
        # The row was replaced by one with more sound: what was put before may be replaced, too.
        await bucket.put(other, PATH, print_of(other), print_of(one))
        assert sizes(seaweed, tmp_path, "again") == [20_000]


@pytest.mark.live
async def test_a_strangers_object_of_another_size_is_not_even_read(
    seaweed: Seaweed, tmp_path: Path
) -> None:
    seaweed.make("stranger")
    big, mine = sound(tmp_path, 3_000_000, b"big"), sound(tmp_path)
    async with proxied(seaweed) as (proxy, before):
        bucket = Store(before.settings(tmp_path, "stranger"))
        await bucket.put(big, PATH, print_of(big), None)
        proxy.seen.clear()
        with pytest.raises(StoreError, match="3000000 bytes"):
            await bucket.put(mine, PATH, print_of(mine), None)
        assert [line.split()[0] for line in proxy.seen] == ["HEAD"]


@pytest.mark.live
async def test_a_put_that_is_cut_off_is_no_object_and_can_be_repeated(
    seaweed: Seaweed, tmp_path: Path
) -> None:
    seaweed.make("cut")
    file = sound(tmp_path, 20 << 20)
    async with proxied(seaweed) as (proxy, before):
        bucket = Store(before.settings(tmp_path, "cut"), timedelta(seconds=5))
        for size in (20_000, 20 << 20):
            part = sound(tmp_path, size, b"c")
            proxy.cut_after = size // 4
            with pytest.raises(StoreError) as caught:
                await bucket.put(part, PATH, print_of(part), None)
            assert caught.value.trouble in (StoreTrouble.AWAY, StoreTrouble.GARBLED)
            assert sizes(seaweed, tmp_path, "cut") == []
        proxy.cut_after = None
        await bucket.put(file, PATH, print_of(file), None)
        assert sizes(seaweed, tmp_path, "cut") == [20 << 20]


@pytest.mark.live
async def test_each_trouble_has_its_sentence(seaweed: Seaweed, tmp_path: Path) -> None:
    seaweed.make("trouble")
    file = sound(tmp_path)

    async def trouble(**more: object) -> tuple[StoreTrouble, str]:
        settings = seaweed.settings(tmp_path, "trouble", **more)
        with pytest.raises(StoreError) as caught:
            await Store(settings, SOON).put(file, PATH, print_of(file), None)
        return caught.value.trouble, str(caught.value)

    assert (await trouble(recording_store="s3://misspelt"))[0] is StoreTrouble.BUCKET
    assert (await trouble(store_secret="wrong"))[0] is StoreTrouble.FORBIDDEN
    found, said = await trouble(store_key_id=READER.id, store_secret=READER.secret)
    assert found is StoreTrouble.FORBIDDEN
    assert READER.secret not in said
    assert (await trouble(store_endpoint="http://127.0.0.1:9"))[0] is StoreTrouble.AWAY
    away = await trouble(store_endpoint=f"https://127.0.0.1:{seaweed.port}")
    assert away[0] in (StoreTrouble.AWAY, StoreTrouble.CERTIFICATE)


@pytest.mark.live
async def test_a_probe_says_why_the_store_refuses(
    seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seaweed.make("probe")

    async def trouble(**more: object) -> StoreTrouble:
        with pytest.raises(StoreError) as caught:
            await Store(seaweed.settings(tmp_path, "probe", **more), SOON).probe()
        return caught.value.trouble

    assert await trouble(recording_store="s3://misspelt") is StoreTrouble.BUCKET
    assert await trouble(store_key_id="nobody") is StoreTrouble.FORBIDDEN
    assert (
        await trouble(store_key_id=READER.id, store_secret=READER.secret) is StoreTrouble.FORBIDDEN
    )
    late = int(datetime.now(UTC).timestamp() + 7200) * SECOND
    monkeypatch.setattr("base.clock.now", lambda: late)
    assert await trouble() is StoreTrouble.CLOCK


_ANSWERS = {
    "nonsense": b"\x00\xff" * 500,
    "not S3": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "a page": b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html><p>login</html>",
    "full": b"HTTP/1.1 507 Insufficient Storage\r\ncontent-length: 0\r\n\r\n",
    "quota": b"HTTP/1.1 403 Forbidden\r\ncontent-length: 49\r\n\r\n<Error><Code>QuotaExceeded</Code></Error>        ",
    "busy": b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\n\r\n",
    "broken": b"HTTP/1.1 500 Internal\r\ncontent-length: 0\r\n\r\n",
    "a promise": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\netag: x\r\n\r\n",
    "moved": b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
}


@pytest.mark.live
@pytest.mark.parametrize("kind", sorted(_ANSWERS))
async def test_no_answer_passes_for_a_stored_recording(
    seaweed: Seaweed, tmp_path: Path, kind: str
) -> None:
    file = sound(tmp_path)
    async with proxied(seaweed) as (proxy, before):
        bucket = Store(before.settings(tmp_path, "answers"), SOON)
        proxy.answer = _ANSWERS[kind]
        for work in (
            bucket.put(file, PATH, print_of(file), None),
            bucket.prove(PATH, print_of(file)),
        ):
            with pytest.raises(StoreError) as caught:
                await work
            assert len(str(caught.value)) < 300
        for more in (bucket.probe(), bucket.delete(PATH), bucket.drop_left(0)):
            with pytest.raises(StoreError):
                await more


@pytest.mark.live
async def test_a_silent_store_takes_no_longer_than_its_time(
    seaweed: Seaweed, tmp_path: Path
) -> None:
    file = sound(tmp_path)
    async with proxied(seaweed) as (proxy, before):
        bucket = Store(before.settings(tmp_path, "silent"), SOON)
        proxy.silent = True
        for work in (bucket.put(file, PATH, print_of(file), None), bucket.probe()):
            with pytest.raises(StoreError, match="did not answer within 1 s") as caught:
                await work
            assert caught.value.trouble is StoreTrouble.SLOW


@pytest.mark.live
async def test_a_changed_object_is_no_proof_and_no_half_read(
    seaweed: Seaweed, tmp_path: Path
) -> None:
    seaweed.make("changed")
    one, other = sound(tmp_path), sound(tmp_path, seed=b"b")
    bucket = Store(seaweed.settings(tmp_path, "changed"))
    await bucket.put(one, PATH, print_of(one), None)
    with bucket.open(PATH) as opened:
        await bucket.put(other, PATH, print_of(other), print_of(one))
        with pytest.raises(FileNotFoundError, match="another object"):
            opened.read()
    with pytest.raises(StoreError, match="does not give back"):
        await bucket.prove(PATH, print_of(one))
    with pytest.raises(FileNotFoundError, match="no object"):
        bucket.open("2025/11/21/none.wav")


@pytest.mark.live
async def test_a_lock_is_kept_and_a_delete_says_so(seaweed: Seaweed, tmp_path: Path) -> None:
    seaweed.make("unlocked")
    seaweed.make("locked", lock=True)
    file = sound(tmp_path)
    plain = Store(seaweed.settings(tmp_path, "unlocked"))
    bucket = Store(seaweed.settings(tmp_path, "locked"))
    for one in (plain, bucket):
        await one.put(file, PATH, print_of(file), None)
        await one.put(file, f"{PATH}.free", print_of(file), None)
    until = int(datetime.now(UTC).timestamp()) * SECOND + DAY
    assert not await plain.lock(PATH, "governance", until)
    assert await bucket.lock(PATH, "compliance", until)
    with pytest.raises(StoreError, match="object lock keeps it"):
        await bucket.delete(PATH)
    assert await bucket.size(PATH) == 20_000  # and no marker hides it
    assert await bucket.delete(f"{PATH}.free") == 1
    assert await plain.delete(PATH) == 1
    assert await plain.delete(PATH) == 0
    assert await plain.size(PATH) is None
    assert await plain.size(f"{PATH}.free") == 20_000


@pytest.mark.live
async def test_what_a_killed_upload_left_is_dropped_after_a_day(
    seaweed: Seaweed, tmp_path: Path
) -> None:
    seaweed.make("killed")
    file = sound(tmp_path, 30 << 20)
    script = (
        "import asyncio, os, pathlib, sys\n"
        "from base.settings import load\n"
        "from recorder.vault.store import Store, print_of\n"
        f"file = pathlib.Path({str(file)!r})\n"
        f"asyncio.run(Store(load()).put(file, {PATH!r}, print_of(file), None))\n"
    )
    async with proxied(seaweed) as (proxy, before):
        environment = {**os.environ, **before.environment("killed")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, env=environment, stdout=subprocess.DEVNULL
        )
        while proxy.sent < 12 << 20:
            await asyncio.sleep(0.01)
        process.kill()
        await process.wait()
    bucket = Store(seaweed.settings(tmp_path, "killed"))
    assert list(bucket.listed()) == []
    now = int(datetime.now(UTC).timestamp()) * SECOND
    assert await bucket.drop_left(now) == 0
    assert await bucket.drop_left(now + DAY + 60 * SECOND) == 1
    assert await bucket.drop_left(now + DAY + 60 * SECOND) == 0
    await bucket.put(file, PATH, print_of(file), None)
    assert [one.size for one in bucket.listed()] == [30 << 20]


def test_a_print_is_of_the_whole_file(tmp_path: Path) -> None:
    file = sound(tmp_path, 3_000_000)
    assert print_of(file) == FilePrint(3_000_000, hashlib.sha256(file.read_bytes()).hexdigest())
