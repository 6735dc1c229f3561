"""Reports reach a real mail server, a real webhook and a folder, each once; the examples for cron and systemd run."""

import asyncio
import base64
import hashlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from base import clock, database, migrations, notify
from diary.writer import Diary
from facts import Fact
from facts.times import DAY, midnight
from hotline.cli.main import app
from metrics.reports import delivery, period, tables
from metrics.reports import sla as reports
from metrics.reports.delivery import CLAIM, DeliveryState, ReportTarget
from metrics.reports.period import Period
from metrics.reports.sla import SlaReport
from tests.metrics.histories import T, answered, in_queue
from tests.receivers import Hook, Mailbox

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "hotline" / "examples"
DAY_OF_CALLS = "2025-11-21"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A centre's home, without any calls."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOTLINE_HOME", str(home))
    return home


@pytest.fixture
def two_days(home: Path) -> None:
    """Its diary has 40 answered calls and 1 lost one on the 21st, and as many yesterday."""
    fill(home, [*calls(0), *calls(yesterday_noon() - T)])


def yesterday_noon() -> int:
    return midnight(clock.now()) - DAY // 2


def fill(home: Path, facts: list[Fact]) -> None:
    """Write facts as the controller does."""

    async def work() -> None:
        engine = database.engine(f"sqlite+aiosqlite:///{home / 'hotline.db'}")
        await migrations.upgrade(engine)
        writer = Diary(engine, home)
        writer.start()
        for fact in facts:
            writer.write(fact)
        await writer.close()
        await engine.dispose()

    asyncio.run(work())


def calls(shift: int, lost: int = 1) -> list[Fact]:
    """40 answered calls and some lost ones, microseconds after noon of the 21st."""
    made = [fact for n in range(40) for fact in answered(f"a{shift}.{n}", n * 60)]
    made += [fact for n in range(lost) for fact in in_queue(f"q{shift}.{n}", n * 60 + 30)]
    return [replace(fact, at=fact.at + shift) for fact in made]


Run = Callable[..., str]


@pytest.fixture
def run(two_days: None) -> Run:
    def run(*args: str, status: int = 0) -> str:
        done = CliRunner().invoke(app, ["report", *args])
        assert done.exit_code == status, done.output
        return done.output

    return run


def test_by_mail_webhook_and_file_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "reports"
    with Hook() as hook, Mailbox() as box:
        monkeypatch.setenv("HOTLINE_REPORT_URLS", f"{hook.url} {box.url}")
        monkeypatch.setenv("HOTLINE_REPORT_DIR", str(out))
        said = run("deliver", "--period", DAY_OF_CALLS)
        assert said.count("delivered") == 3
        assert "secret" not in said
        for _ in range(2):
            assert run("deliver", "--period", DAY_OF_CALLS) == ""
        assert (len(hook.got), len(box.mails)) == (1, 1)
        files = {path.name for path in out.iterdir()}
        assert files == {f"sla-2025-11-21.{suffix}" for suffix in ("xlsx", "html", "json")}
        written = (out / "sla-2025-11-21.json").read_bytes()
        run("deliver", "--period", DAY_OF_CALLS, "--again", "--format", "text", "--lang", "en")
        assert (len(hook.got), len(box.mails)) == (2, 2)

    report = json.loads(written)
    assert report["M1"] == {"numerator": 40, "denominator": 41, "value": 40 / 41}
    assert report["window"]["from"].startswith("2025-11-21T00:00")
    assert report["verdict"] == "holds"

    mail, english = box.mails
    assert mail["subject"] == "[达标] 热线服务报告 2025-11-21，接通率 97.6%"
    assert english["subject"] == "[holds] hotline report 2025-11-21, connection rate 97.6%"
    body = mail.get_body(("plain",))
    assert body is not None
    assert "\n" in body.get_content()
    assert "2025-11-21 00:00" in body.get_content()
    attached = {part.get_filename(): part.get_content() for part in mail.iter_attachments()}
    assert set(attached) == files
    workbook = openpyxl.load_workbook(io.BytesIO(attached["sla-2025-11-21.xlsx"]))
    cells = {
        cell for sheet in workbook for row in sheet.iter_rows(values_only=True) for cell in row
    }
    assert {40, 41} <= cells

    hooked = hook.got[0]
    assert hooked["title"] == mail["subject"]
    contents = {one["filename"]: base64.b64decode(one["base64"]) for one in hooked["attachments"]}
    assert contents["sla-2025-11-21.json"] == written


def test_what_failed_is_tried_again_and_nothing_else(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Hook() as hook:
        monkeypatch.setenv("HOTLINE_REPORT_URLS", hook.url)
        monkeypatch.setenv("HOTLINE_REPORT_DIR", str(tmp_path / "reports"))
        hook.status = 503
        said = run("deliver", "--period", DAY_OF_CALLS, status=1)
        assert "503" in said
        assert "secret" not in said
        failed = json.loads(run("deliveries", "--format", "json"))
        assert {row["state"] for row in failed} == {"failed", "delivered"}
        hook.status = 200
        said = run("deliver", "--period", DAY_OF_CALLS)
        assert said.count("delivered") == 1
        assert len(hook.got) == 1
    rows = json.loads(run("deliveries", "--format", "json"))
    assert {(row["state"], row["attempts"]) for row in rows} == {("delivered", 2), ("delivered", 1)}
    assert "secret" not in run("deliveries")


def test_a_new_password_is_no_new_receiver(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with Hook() as hook, Mailbox() as box:
        urls = f"{hook.url} {box.url}"
        for old, new in (
            ("", ""),
            ("pass-secret", "another"),
            ("rto=30", "rto=30&password=another"),
            ("mailto://", "mailto://user:another@"),
            ("hotline@example.org", "hotline2@example.org"),
        ):
            monkeypatch.setenv("HOTLINE_REPORT_URLS", urls.replace(old, new))
            run("deliver", "--period", "2025-11-23", "--make-up", "2")
        assert (len(hook.got), len(box.mails)) == (3, 3)
        monkeypatch.setenv("HOTLINE_REPORT_URLS", urls.replace("duty@", "boss@"))
        run("deliver", "--period", "2025-11-23", "--make-up", "2")
        assert (len(hook.got), len(box.mails)) == (3, 6)
        assert not any(name in run("deliveries") for name in ("secret", "another", "duty", "boss"))


def test_what_an_earlier_version_delivered_is_not_delivered_again(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It named receivers with their passwords."""
    with Hook() as hook:
        monkeypatch.setenv("HOTLINE_REPORT_URLS", hook.url)
        run("deliver", "--period", DAY_OF_CALLS)

        async def name_as_before() -> None:
            engine = database.engine(f"sqlite+aiosqlite:///{home / 'hotline.db'}")
            async with engine.begin() as connection:
                name = f"json:{hashlib.sha256(hook.url.encode()).hexdigest()[:8]}"
                await connection.execute(update(tables.delivery).values(target=name))
            await engine.dispose()

        asyncio.run(name_as_before())
        for _ in range(2):
            assert run("deliver", "--period", DAY_OF_CALLS) == ""
        assert len(hook.got) == 1
        (row,) = json.loads(run("deliveries", "--format", "json"))
        assert row["target"] == notify.label(hook.url)


def test_a_receiver_that_is_named_twice_gets_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with Hook() as hook:
        again = hook.url.replace("pass-secret", "old-secret")
        monkeypatch.setenv("HOTLINE_REPORT_URLS", f"{hook.url} {again}")
        assert run("deliver", "--period", DAY_OF_CALLS).count("delivered") == 1
        assert len(hook.got) == 1


def test_missed_days_are_made_up_for(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "reports"
    run("deliver", "--period", "2025-11-22", "--to", str(out), "--format", "json")
    said = run("deliver", "--period", "2025-11-24", "--make-up", "7", "--to", str(out))
    # From the diary's first day on, oldest first, without the one that was delivered.
    assert [line.split()[0] for line in said.splitlines()] == [
        *("2025-11-21", "2025-11-23", "2025-11-24")
    ]
    assert run("deliver", "--period", "2025-11-24", "--make-up", "7", "--to", str(out)) == ""


def test_a_folder_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = run("deliver", "--period", DAY_OF_CALLS, "--to", str(tmp_path / "file"), status=1)
    assert "exists" in said or "Not a directory" in said
    assert list(tmp_path.glob("**/*.part")) == []


def test_bad_input_is_said(run: Run, tmp_path: Path) -> None:
    assert "HOTLINE_REPORT_URLS" in run("deliver", status=2)
    to = ("--to", str(tmp_path / "out"))
    assert "write yesterday, last-week" in run("deliver", "--period", "soon", *to, status=2)
    assert "ask afterwards" in run("deliver", "--period", "2999-01-01", *to, status=2)
    assert "there is text" in run("deliver", "--format", "docx", *to, status=2)
    assert "--make-up" in run("deliver", "--make-up", "-1", *to, status=2)
    assert "--fail-under" in run("deliver", "--fail-under", "101", *to, status=2)
    # What could not be made is not taken for delivered.
    run("deliver", *to)


# --- two runs at once, on both databases


@pytest.fixture
def day() -> Period:
    return period.read(DAY_OF_CALLS, clock.now())


async def made(engine: AsyncEngine, of: Period) -> SlaReport:
    return await reports.sla(engine, of.until, of.hours, 95)


async def test_of_two_runs_at_once_one_delivers(
    engine: AsyncEngine, day: Period, tmp_path: Path
) -> None:
    with Hook() as hook:
        target = ReportTarget("json:1", url=hook.url)

        async def deliver() -> list[delivery.Delivered]:
            return await delivery.deliver(
                engine, [day], [target], lambda of: made(engine, of), formats=["json"], lang="zh"
            )

        outcomes = [
            one for many in await asyncio.gather(*(deliver() for _ in range(4))) for one in many
        ]
        assert sum(one.done for one in outcomes) == 1
        assert len(hook.got) == 1
        assert await deliver() == [delivery.Delivered(day.name, "json:1", done=False)]


async def test_a_run_that_was_killed_is_taken_over_after_a_while(
    engine: AsyncEngine, day: Period
) -> None:
    assert await delivery._claim(engine, day.name, "x", again=False) is None
    assert await delivery._claim(engine, day.name, "x", again=True) is DeliveryState.SENDING
    async with engine.begin() as connection:
        await connection.execute(update(tables.delivery).values(updated_at=clock.now() - CLAIM - 1))
    assert await delivery._claim(engine, day.name, "x", again=False) is None
    await delivery._mark(engine, day.name, "x", "")
    assert await delivery._claim(engine, day.name, "x", again=False) is DeliveryState.DELIVERED
    assert await delivery._claim(engine, day.name, "x", again=True) is None


async def test_a_report_that_cannot_be_made_is_not_delivered(
    engine: AsyncEngine, day: Period, tmp_path: Path
) -> None:
    async def fails(_of: Period) -> SlaReport:
        raise ValueError("bug")

    target = ReportTarget("file:1", folder=tmp_path)
    with pytest.raises(ValueError, match="bug"):
        await delivery.deliver(engine, [day], [target], fails, formats=["json"], lang="zh")
    (row,) = await delivery.log(engine, 9)
    assert (row["state"], row["note"]) == ("failed", "no report: ValueError")


# --- the examples, as cron and systemd read them


@pytest.fixture
def machine(home: Path, tmp_path: Path) -> dict[str, str]:
    """What the examples find: the command `hotline`, and `logger`, which writes into a file."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {
        "hotline": f'exec {shlex.quote(sys.executable)} -P -c "from hotline.__main__ import main; main()" "$@"',
        "logger": f'echo "$@" >> {shlex.quote(str(tmp_path / "logger"))}',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    return {
        "PATH": f"{programs}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "HOTLINE_HOME": str(home),
    }


def crontab() -> tuple[dict[str, str], list[str]]:
    """The environment and the commands of the example, read as crontab(5) says."""
    environment, commands = {}, []
    for line in (EXAMPLES / "hotline.crontab").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if found := re.fullmatch(r"([A-Z_]+)=(.*)", line):
            environment[found[1]] = found[2]
            continue
        found = re.fullmatch(r"(?:[0-9*/,-]+\s+){5}(.*)", line)
        assert found, line
        assert not re.search(r"(?<!\\)%", found[1]), f"cron takes this % for a line break: {line}"
        commands.append(found[1].replace("\\%", "%"))
    return environment, commands


def run_by_cron(command: str, machine: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """As cron does: /bin/sh -c, and no environment but that of the crontab."""
    return subprocess.run(
        ["/bin/sh", "-c", command],
        env=machine,
        cwd=machine["HOME"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_the_crontab_delivers_yesterday_once(machine: dict[str, str], two_days: None) -> None:
    environment, (deliver, _) = crontab()
    assert set(environment) == {"HOTLINE_HOME", "HOTLINE_CONFIG", "PATH"}
    with Hook() as hook, Mailbox() as box:
        # As in the example: what is secret stands in the file that HOTLINE_CONFIG names.
        config = Path(machine["HOME"]) / "hotline.toml"
        config.write_text(f"report_urls = {json.dumps([hook.url, box.url])}\n")
        config.chmod(0o600)
        there = {**machine, "HOTLINE_CONFIG": str(config)}
        for _ in range(2):
            done = run_by_cron(deliver, there)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        titles = [one["title"] for one in hook.got]
        assert [mail["subject"] for mail in box.mails] == titles
        # Yesterday, and the days before it that were missed; all of them are there after the first run.
        yesterday = period.read("yesterday", clock.now())
        assert yesterday.name in titles[-1]
        assert "达标" in titles[-1]
        assert len(titles) == len(set(titles)) == 8
        # A receiver that does not answer: status 1, and cron mails what is said.
        hook.status = 500
        failed = run_by_cron(f"{deliver} --again", there)
        assert (failed.returncode, failed.stdout) == (1, "")
        assert "500" in failed.stderr
        assert "secret" not in failed.stderr


@pytest.mark.parametrize(("lost", "status"), [(0, 0), (39, 1), (None, 2)])
def test_the_crontab_tells_the_verdict(
    machine: dict[str, str], home: Path, lost: int | None, status: int
) -> None:
    _, (_, verdict) = crontab()
    fill(home, [] if lost is None else calls(yesterday_noon() - T, lost=lost))
    done = run_by_cron(verdict, machine)
    assert done.stderr == ""
    logged = Path(machine["HOME"]) / "logger"
    if status == 0:
        assert not logged.exists()
    else:
        assert logged.read_text() == f"-t hotline SLA of yesterday: status {status}\n"


def test_the_timer_and_its_service(machine: dict[str, str], two_days: None) -> None:
    service = (EXAMPLES / "hotline-report.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", service, re.MULTILINE)
    (variables,) = re.findall(r"^Environment=(.*)$", service, re.MULTILINE)
    assert set(re.findall(r"(\w+)=", variables)) == {"HOTLINE_HOME", "HOTLINE_CONFIG"}
    program, *arguments = command.split()
    assert Path(program).name == "hotline"
    out = Path(machine["HOME"]) / "out"
    done = subprocess.run(
        [Path(machine["PATH"].split(":")[0]) / "hotline", *arguments],
        env={**machine, "HOTLINE_REPORT_DIR": str(out)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    yesterday = period.read("yesterday", clock.now()).name
    assert (out / f"sla-{yesterday}.json").exists()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_reads_the_units(tmp_path: Path) -> None:
    for name in ("hotline.service", "hotline-report.service", "hotline-report.timer"):
        text = (EXAMPLES / name).read_text()
        # systemd-analyze asks whether the program exists and the user is known.
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE)
        text = text.replace("User=hotline", "User=daemon")
        (tmp_path / name).write_text(text)
    done: Any = subprocess.run(
        ["systemd-analyze", "verify", *sorted(map(str, tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    calendar = subprocess.run(
        ["systemd-analyze", "calendar", "*-*-* *:05:00"],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert calendar.returncode == 0
