"""Watches with a real database, a real webhook and a real mail server: sent once, retried, never in the way."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from alarms import watch as alarms
from alarms.rules import RULES, Alarm, Key, Readings, Rule, UnknownAlarm, changed
from alarms.watch import Watch
from base import clock, database, log, migrations, notify
from base.bus import Bus
from base.retry import Schedule
from base.settings import Settings, SettingsError, load
from diary import tables, writer
from facts import CallbackMissed, DialRefused, Fact, RecordingMissing
from hotline.cli.main import app
from recorder import spool
from recorder import tables as recorder_tables
from recorder.vault import keys
from tests.receivers import Hook, Mailbox

S = 1_000_000
WAIT: Key = ("longest_wait", "")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(alarms, "RETRY", Schedule(0.05, 0.05))
    monkeypatch.setattr(alarms, "_LAST_LETTERS", 30)  # a busy machine is slow to load apprise


def at_once(*names: str) -> list[Rule]:
    return list(changed({name: {"hold": 0, "rest": 0} for name in names}, RULES))


class Desk:
    """What a watch measures, set by the test."""

    def __init__(self) -> None:
        self.readings: dict[Key, float | None] = {WAIT: 0}

    def __call__(self, _now: int) -> Readings:
        return self.readings


async def until(true: Callable[[], Any], what: str, within: float = 40) -> None:
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.01)
    assert true(), what


async def rows(engine: AsyncEngine, count: int, cleared: int = 0) -> list[Alarm]:
    """The alarms in the table, once there are so many, and so many of them cleared."""
    async with asyncio.timeout(40):
        while True:
            found = await alarms.read(engine, since=0)
            if len(found) == count and sum(1 for one in found if one.cleared_at) == cleared:
                return found
            await asyncio.sleep(0.02)


async def test_raised_seen_and_cleared_each_told_once(engine: AsyncEngine) -> None:
    desk = Desk()
    with Hook() as hook, Mailbox() as box:
        watch = Watch(engine, [hook.url, box.url], at_once("longest_wait"), desk)
        watch.start()
        desk.readings = {WAIT: 200}
        await until(lambda: hook.got and box.mails, "both addresses")
        seen = watch.acknowledge("longest_wait", "王芳")
        desk.readings = {WAIT: 130}
        await until(lambda: watch.open()[0].acknowledged_by, "acknowledged")
        desk.readings = {WAIT: 10}
        await until(lambda: len(hook.got) == 2 and len(box.mails) == 2, "the all-clear")
        (row,) = await rows(engine, 1, cleared=1)
        await watch.close()
        again = Watch(engine, [hook.url, box.url], at_once("longest_wait"), desk)
        again.start()
        desk.readings = {WAIT: 300}
        await until(lambda: len(hook.got) == 3 and len(box.mails) == 3, "a new alarm")
        await again.close()
    assert (row.id, row.value, row.acknowledged_by) == (seen.id, 200, "王芳")
    assert 0 < row.raised_at <= row.acknowledged_at <= row.cleared_at
    first, second, third = hook.got
    assert "有来电人已等待 200 秒" in first["title"]
    assert "has waited for 200 seconds" in first["message"]
    assert f"hotline alarm ack {seen.id}" in first["message"]
    assert (first["type"], second["type"], third["type"]) == ("warning", "success", "warning")
    assert "恢复 OK" in second["title"]
    subject, text = box.mails[0]["subject"], box.mails[0].get_body(("plain", "html"))
    assert "有来电人已等待 200 秒" in subject
    assert text is not None
    assert "has waited for 200 seconds" in text.get_content()
    assert box.mails[0]["to"] == "duty@example.org"


async def test_an_escalation_is_told_level_by_level(engine: AsyncEngine) -> None:
    """Who hears only of a red button that nobody has acknowledged hears of nothing else, and of its end."""
    desk = Desk()
    rules = at_once("longest_wait", alarms.ESCALATES)
    with Hook() as duty, Hook() as head, Hook() as director:
        higher = [head.url, director.url, duty.url]
        watch = Watch(engine, [duty.url], rules, desk, higher=higher)
        watch.start()
        for level in (1, 2):
            key = (alarms.ESCALATES, f"1001 ({level})")
            desk.readings = {WAIT: 200, key: level}
            await until(lambda: len(head.got) == level * 2 - 1, "the head hears of it")  # noqa: B023
        desk.readings = {WAIT: 0}
        await until(lambda: len(head.got) == 4 and len(duty.got) == 6, "the all-clear")
        await until(lambda: len(director.got) == 2, "of the second level")
        await watch.close()
    assert all("1001" in one["title"] for one in [*head.got, *director.got])


async def test_sent_again_until_it_is_taken_and_not_after_a_restart(engine: AsyncEngine) -> None:
    desk = Desk()
    desk.readings = {WAIT: 200}
    with Hook() as hook:
        hook.status = 503
        watch = Watch(engine, [hook.url], at_once("longest_wait"), desk)
        watch.start()
        await until(lambda: hook.requests >= 3, "three attempts")
        (raised,) = await rows(engine, 1)
        await watch.close()
        # The next process tells what this one could not.
        hook.status = 200
        second = Watch(engine, [hook.url], at_once("longest_wait"), desk)
        second.start()
        await until(lambda: hook.got, "the letter of before")
        assert [one.id for one in second.open()] == [raised.id]
        await second.close()
        requests = hook.requests
        third = Watch(engine, [hook.url], at_once("longest_wait"), desk)
        third.start()
        await until(third.open, "the alarm of before")
        desk.readings = {WAIT: 0}
        await until(lambda: len(hook.got) == 2, "the all-clear")
        await third.close()
        assert hook.requests == requests + 1
    assert [one["type"] for one in hook.got] == ["warning", "success"]


async def test_an_address_that_hangs_holds_up_nobody(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alarms, "_LAST_LETTERS", 0.2)
    desk = Desk()
    with Hook() as hanging, Hook() as hook:
        hanging.held.clear()
        watch = Watch(engine, [hanging.url, hook.url], at_once("longest_wait"), desk)
        watch.start()
        loop = asyncio.get_running_loop()
        began = loop.time()
        desk.readings = {WAIT: 200}
        await until(lambda: hook.got and hanging.requests, "the other address")
        longest = 0.0
        while loop.time() < began + 0.5:
            before = loop.time()
            await asyncio.sleep(0)
            longest = max(longest, loop.time() - before)
        assert longest < 1
        began = loop.time()
        await watch.close()
        assert loop.time() - began < 5
        assert (len(hook.got), len(hanging.got)) == (1, 0)


async def test_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with Hook() as hook:
        hook.held.clear()
        error = await notify.send(hook.url, "t", "b", within=0.2)
    assert error == "no answer within 0.2 s"


async def test_the_database_is_away_and_the_alarm_leaves_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "hotline.db"
    engine = database.engine(f"sqlite+aiosqlite:///{file}")
    desk = Desk()
    with Hook() as hook:
        watch = Watch(engine, [hook.url], at_once("longest_wait"), desk)  # no tables yet
        watch.start()
        desk.readings = {WAIT: 200}
        await until(lambda: hook.got, "the letter")
        await migrations.upgrade(engine)
        (row,) = await rows(engine, 1)
        assert row.id == watch.open()[0].id
        await watch.close()
    assert len(hook.got) == 1
    await engine.dispose()


async def test_an_error_while_measuring_ends_nothing(engine: AsyncEngine) -> None:
    failing = True

    def measure(_now: int) -> Readings:
        if failing:
            raise RuntimeError("bug")
        return {WAIT: 200}

    async def slow(_now: int) -> Readings:
        raise OSError("disk")

    watch = Watch(engine, [], at_once("longest_wait"), measure, slow, slow_every=0.01)
    with structlog.testing.capture_logs() as said:
        watch.start()
        await asyncio.sleep(0)
        await until(lambda: {"alarms.failed", "alarms.not_measured"} <= names(said), "two lines")
        failing = False
        await until(watch.open, "an alarm all the same")
        await watch.close()
    assert len([one for one in said if one["event"] == "alarms.failed"]) == 1


def names(said: list[Any]) -> set[str]:
    return {one["event"] for one in said}


async def test_a_rule_that_was_switched_off_leaves_no_open_alarm(engine: AsyncEngine) -> None:
    desk = Desk()
    desk.readings = {WAIT: 200}
    watch = Watch(engine, [], at_once("longest_wait"), desk)
    watch.start()
    await rows(engine, 1)
    await watch.close()
    off = Watch(engine, [], changed({"longest_wait": {"on": False}}), desk)
    off.start()
    await rows(engine, 1, cleared=1)
    assert off.open() == []
    with pytest.raises(UnknownAlarm):
        off.acknowledge("longest_wait", "x")
    await off.close()


async def test_addresses_are_never_logged(engine: AsyncEngine, tmp_path: Path) -> None:
    file = tmp_path / "log" / "serve.log"
    log.configure("debug", file)
    desk = Desk()
    desk.readings = {WAIT: 200}
    with Hook() as hook:
        hook.status = 500
        unusable = "nonsense://user:pass-secret@127.0.0.1/token-secret"
        nobody = "json://user:pass-secret@127.0.0.1:9/token-secret"
        mail = "mailto://user:pass-secret@127.0.0.1:9?from=a@example.org&to=token-secret@b.cn"
        urls = [hook.url, unusable, nobody, mail]
        watch = Watch(engine, urls, at_once("longest_wait"), desk)
        watch.start()
        await until(lambda: file.read_text().count("alarm.not_sent") == len(urls), "four failures")
        await watch.close()
    text = file.read_text()
    assert "secret" not in text
    assert "does not understand" in text


def test_a_librarys_words_lose_the_addresss_secrets() -> None:
    url = "mailtos://user:pass%40word@smtp.example.cn/topic-key?to=boss@example.cn&token=abcdef"
    said = f"cannot reach smtp.example.cn as user with pass@word: /topic-key, token=abcdef, {url}"
    left = notify._without_secrets(said, url)
    assert "smtp.example.cn" in left
    for secret in ("user", "pass@word", "pass%40word", "topic-key", "abcdef"):
        assert secret not in left, left
    assert notify.label(url).startswith("mailtos:")
    assert "example" not in notify.label(url)


async def test_what_the_recorder_left_behind(engine: AsyncEngine, tmp_path: Path) -> None:
    settings = load(home=tmp_path / "home")
    now = clock.now()
    facts: list[Fact] = [
        RecordingMissing(now - 10 * S, "hotline-1.1", "no file"),
        RecordingMissing(now - 3700 * S, "hotline-1.2", "no file"),
        CallbackMissed(now - 5 * S, 7),
        CallbackMissed(now - 6 * S, 8),
        DialRefused(now - 7 * S, "hotline-1.1", "110", "lost", "emergency"),
    ]
    async with engine.begin() as connection:
        await connection.execute(
            insert(tables.diary),
            [writer._row(number, fact) for number, fact in enumerate(facts, 1)],
        )
    missing = await alarms.recordings(engine, settings, now)
    assert missing["recording_gap", ""] == 1
    assert missing["callbacks_missed", ""] == 2
    assert missing["dial_refused", ""] == 1
    assert missing["disk_low", ""] is None
    settings.spool_dir.mkdir(parents=True)
    fine = await alarms.recordings(engine, settings, now)
    assert fine["recording_late", ""] == 0
    assert (fine["disk_low", ""] or 0) > 1
    (settings.spool_dir / "hotline-1.3.raw").write_bytes(b"")
    later = await alarms.recordings(engine, settings, clock.now() + 900 * S)
    assert 890 < (later["recording_late", ""] or 0) < 960


async def test_a_backlog_and_a_missing_ffmpeg_are_seen(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path)
    settings.spool_dir.mkdir(parents=True)
    later = clock.now() + 10 * S

    async def seen(at: int, told: Settings = settings) -> list[float | None]:
        found = await alarms.recordings(engine, told, at)
        return [found["recording_backlog", ""], found["recording_no_ffmpeg", ""]]

    for number in range(3):
        (settings.spool_dir / f"hotline-1.{number}.raw").write_bytes(b"")
    assert await seen(clock.now()) == [0, 0], "Asterisk still writes to these"
    assert await seen(later) == [3, 0]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await seen(later) == [3, 3]
    assert await seen(later, settings.model_copy(update={"recording_format": "wav"})) == [3, 0]
    (settings.spool_dir / "hotline-1.0.raw").unlink()
    assert await seen(later) == [2, 2]
    shutil.rmtree(settings.spool_dir)
    assert await seen(later) == [None, None]


async def test_a_closed_folder_and_an_ffmpeg_that_hangs_are_seen(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path)
    settings.spool_dir.mkdir(parents=True)
    settings.recordings_dir.mkdir(exist_ok=True)
    later = clock.now() + 10 * S

    async def seen() -> list[float | None]:
        found = await alarms.recordings(engine, settings, later)
        return [found["recording_held_up", ""], found["recording_ffmpeg_hangs", ""]]

    def full(folder: Path) -> str:
        return "the disk is full" if folder == settings.recordings_dir else ""

    with monkeypatch.context() as patch:
        patch.setattr(spool, "why_not", full)
        assert await seen() == [0, 0], "nothing waits for it"
    (settings.spool_dir / "hotline-1.1.raw").write_bytes(b"")
    assert await seen() == [0, 0]
    with monkeypatch.context() as patch:
        patch.setattr(spool, "why_not", full)
        assert await seen() == [1, 0]
    spool.note_hung(settings.spool_dir, on=True)
    assert await seen() == [0, 1]
    spool.note_hung(settings.spool_dir, on=False)
    assert await seen() == [0, 0]


async def test_raw_files_that_wait_for_the_master_key_are_counted(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    settings.spool_dir.mkdir(parents=True)

    async def seen(told: Settings = settings) -> float | None:
        return (await alarms.recordings(engine, told, clock.now()))["recording_key", ""]

    assert await seen() == 0
    for number in (1, 2):
        (settings.spool_dir / f"hotline-1.{number}.raw").write_bytes(b"")
    assert await seen() == 2
    assert await seen(settings.model_copy(update={"encrypt_recordings": False})) == 0
    keys.add(settings)
    assert await seen() == 0
    keys.path(settings).write_text("no key")
    assert await seen() == 2


async def test_rows_without_a_seal_and_days_that_do_not_agree_are_seen(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    now = clock.now()

    async def seen() -> tuple[float | None, float | None]:
        found = await alarms.recordings(engine, settings, now)
        return found["seal_late", ""], found["seal_broken", ""]

    assert await seen() == (0, 0)
    row = {"call": "hotline-1.1", "row": "{}", "entered_at": now - 30 * 3600 * S}
    seal = dict.fromkeys(("root", "previous", "head", "sm3_root", "sm3_previous", "sm3_head"), "")
    seal |= {"signature": "", "public_key": "", "fault": "it was rewritten"}
    async with engine.begin() as connection:
        await connection.execute(insert(recorder_tables.evidence).values({**row, "day": ""}))
        await connection.execute(
            insert(recorder_tables.evidence).values({**row, "entered_at": 1, "day": "1970"})
        )
        for day, fault in (("1970-01-01", "it was rewritten"), ("1970-01-02", "")):
            one = {**seal, "day": day, "rows": 0, "sealed_at": 1, "fault": fault}
            await connection.execute(insert(recorder_tables.seal).values(one))
    assert await seen() == (30, 1)
    stamping = settings.model_copy(update={"seal_tsa": "https://tsa.example/"})

    async def unstamped(settings: Settings) -> float | None:
        return (await alarms.recordings(engine, settings, now))["stamp_late", ""]

    assert await unstamped(settings) == 0
    assert await unstamped(stamping) == pytest.approx((now - 1) / (3600 * S))
    stamp = {"day": "1970-01-02", "token": "", "at": 1}
    async with engine.begin() as connection:
        await connection.execute(insert(recorder_tables.stamp).values(stamp))
    assert await unstamped(stamping) == 0  # it vouches for the seals before it
    later = {**seal, "day": "1970-01-03", "rows": 0, "sealed_at": now - 30 * 3600 * S}
    async with engine.begin() as connection:
        await connection.execute(insert(recorder_tables.seal).values(later))
    assert await unstamped(stamping) == 30


async def test_stale_figures_are_seen_by_who_reads_them(redis_url: str) -> None:
    bus = Bus(redis_url, "stale")
    now = clock.now()
    assert await alarms.age_of_live_state(bus, now) == {("stale_figures", ""): None}
    shown: Any = {"at": now - 12 * S}
    bus.show(shown)
    await bus._flush()
    assert await alarms.age_of_live_state(bus, now) == {("stale_figures", ""): 12}
    await bus.close()
    gone = Bus("unix:///nonexistent/redis.sock", "stale")
    assert await alarms.age_of_live_state(gone, now) == {("stale_figures", ""): None}
    await gone.close()


def test_rules_from_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hotline.toml").write_text(
        'min_free_mb = 2000\nalarm_urls = ["json://a/b,c"]\n[alarms.longest_wait]\nraise_at = 90\n'
    )
    monkeypatch.chdir(tmp_path)
    settings = load()
    made = {one.name: one for one in alarms.rules(settings)}
    assert made["longest_wait"].raise_at == 90
    assert (made["disk_low"].raise_at, made["disk_low"].clear_at) == (2000, 2200)
    assert "json" not in repr(settings)
    monkeypatch.setenv("HOTLINE_ALARMS", '{"nonsense": {}}')
    with pytest.raises(SettingsError, match="there is no such alarm"):
        alarms.rules(load())
    monkeypatch.setenv("HOTLINE_ALARM_URLS", "json://a/b,c  mailto://d")
    assert [one.get_secret_value() for one in load().alarm_urls] == ["json://a/b,c", "mailto://d"]


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path / "home"))

    def run(*args: str, status: int = 0) -> str:
        done = CliRunner().invoke(app, ["alarm", *args])
        assert done.exit_code == status, done.output
        return done.output

    assert "HOTLINE_ALARM_URLS" in run("test", status=1)
    assert "没有告警" in run("list")
    assert json.loads(run("list", "--format", "json")) == []
    assert "hotline up" in run("ack", "abc", status=1)
    with Hook() as hook:
        monkeypatch.setenv("HOTLINE_ALARM_URLS", f"{hook.url} json://127.0.0.1:9/x")
        said = run("test", status=1)
        assert said.count("✓") == 1
        assert said.count("✗") == 1
        monkeypatch.setenv("HOTLINE_ALARM_URLS", hook.url)
        run("test")
        assert [one["title"] for one in hook.got] == ["[测试 TEST] Hotline"] * 2


async def test_a_recording_that_waits_for_its_store_is_seen(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    now = clock.now()
    row = dict.fromkeys(("size", "stored_at", "left_at"), 0) | {"path": "p", "sha256": ""}
    rows = [
        {**row, "call": "hotline-1.1", "state": "stored", "finished_at": now - 9000 * S},
        {**row, "call": "hotline-1.2", "state": "uploading", "finished_at": now - 1200 * S},
        {**row, "call": "hotline-1.3", "state": "local", "finished_at": now - 60 * S},
    ]
    async with engine.begin() as connection:
        await connection.execute(insert(recorder_tables.stored), rows)
    for bucket, seconds in (("s3://recordings", 1200), ("", 0)):
        settings = Settings(home=tmp_path, recording_store=bucket)
        found = await alarms.recordings(engine, settings, now)
        assert found["store_late", ""] == seconds
        assert found["store_backlog", ""] == (2 if bucket else 0)


async def test_a_recording_that_waits_to_be_listened_to_is_seen(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    now = clock.now()
    row = dict.fromkeys(("size", "duration", "certificate"), 0) | {"sha256": "ab", "note": ""}
    row |= {"path": "p", "state": "finished", "cipher_sha256": ""}
    rows = [
        {**row, "call": "hotline-1.1", "finished_at": now - 90 * 3600 * S},
        {**row, "call": "hotline-1.2", "finished_at": now - 30 * 3600 * S},
        {**row, "call": "hotline-1.3", "finished_at": now - 60 * 3600 * S, "path": ""},
        {**row, "call": "hotline-1.4", "finished_at": now - 200 * 3600 * S},
    ]
    heard = {"call": "hotline-1.1", "sha256": "ab", "left": "", "right": "", "why": ""}
    async with engine.begin() as connection:
        await connection.execute(insert(recorder_tables.recording), rows)
        await connection.execute(
            insert(recorder_tables.recording_voice).values({**heard, "heard_at": now})
        )
    for workers, hours in ((1, 30), (0, 0)):
        settings = Settings(home=tmp_path, listen_workers=workers)
        found = await alarms.recordings(engine, settings, now)
        assert found["listening_late", ""] == hours


async def test_a_request_for_an_export_that_nobody_decides_is_seen(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    now = clock.now()
    row = {"call": "hotline-1.1", "by": "wang", "why": "court", "until": now + 9 * 3600 * S}
    row |= {"approved": False, "decided_by": "", "decided_why": "", "decided_at": 0, "used_at": 0}
    rows = [
        {**row, "at": now - 3600 * S},
        {**row, "at": now - 9 * 3600 * S, "until": now - S},
        {**row, "at": now - 8 * 3600 * S, "decided_at": now},
        {**row, "at": now - 3 * 3600 * S},
    ]
    settings = Settings(home=tmp_path)
    assert (await alarms.recordings(engine, settings, now))["export_late", ""] == 0
    async with engine.begin() as connection:
        await connection.execute(insert(recorder_tables.export), rows)
    assert (await alarms.recordings(engine, settings, now))["export_late", ""] == 3
