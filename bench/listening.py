"""What a listener waits for: the first sound after a seek in an encrypted recording of an hour, in a real Chromium.

The same sound lies beside it plain, as a file that a static server with ranges serves (Starlette's, in uvicorn): what
somebody would use who has no player. Both are heard in the same page, in turn, at the same places.
"""

import asyncio
import contextlib
import os
import random
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import uvicorn
from playwright.async_api import Browser, Page, async_playwright
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from base import clock, database, migrations, settings
from base.background import spawn
from base.settings import Settings
from bench.figures import TableRow, percentile
from diary.writer import Diary
from facts import CallArrived, CallEnded, CallQueued, OfferAnswered, OfferMade, TalkEnded
from facts.terms import CallId, Party
from facts.times import HOUR, SECOND
from hotline.machine import programs
from recorder import finishing
from recorder.entry import LedgerEntry
from recorder.policy import RATE
from recorder.vault import reading
from web.accounts import accounts

CALL: Final = CallId("hotline-1763731200.17")
PASSWORD: Final = "a-long-enough-password"  # noqa: S105 of accounts that live for a minute
LISTENER: Final = "chief"
PART: Final = 300
"""Seconds of one pair of pitches."""
PAUSE: Final = 10
"""Seconds of silence at the end of each part."""
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SEEKS: Final = 40


def pitches(second: float) -> tuple[int, int]:
    """What the citizen's side and the agent's side sound like in this part, in hertz."""
    part = int(second // PART) % 12
    return 300 + 40 * part, 800 + 40 * part


async def record(engine: AsyncEngine, chosen: Settings, seconds: int) -> LedgerEntry:
    """Have the recorder finish a call of so many seconds: compressed and encrypted, as the settings say."""
    began = clock.now() - 2 * HOUR
    diary = Diary(engine, chosen.run_dir)
    diary.start()
    for fact in (
        CallArrived(began, CALL, "12345", "13812345678"),
        CallQueued(began, CALL, "default"),
        OfferMade(began, CALL, "1001"),
        OfferAnswered(began, CALL, "1001"),
        TalkEnded(began + seconds * SECOND, CALL, "1001", Party.AGENT),
        CallEnded(began + seconds * SECOND, CALL, Party.AGENT),
    ):
        diary.write(fact)
    await diary.close()
    await asyncio.to_thread(_write, chosen.spool_dir / f"{CALL}.raw", seconds)
    return await finishing.finish(engine, chosen, CALL)


def _write(raw: Path, seconds: int) -> None:
    raw.parent.mkdir(parents=True, exist_ok=True)
    at = np.arange(RATE) * (2 * np.pi / RATE)
    with raw.open("wb") as file:
        for begin in range(0, seconds, PART):
            sides = [np.sin(at * pitch) * 12_000 for pitch in pitches(begin)]
            second = np.stack(sides, axis=1).astype("<i2").tobytes()
            length = min(PART, seconds - begin)
            file.write(second * (length - PAUSE) + bytes(len(second)) * PAUSE)


@contextlib.asynccontextmanager
async def screens(
    more: Mapping[str, str] | None = None, /, **roles: str
) -> AsyncIterator[tuple[Settings, AsyncEngine]]:
    """`hotline web` alone, in a folder of its own that goes with it. `roles`: accounts, with `PASSWORD`.

    `more`: settings by name, such as `EXPORT_APPROVAL`.

    Meanwhile this process has their settings in its environment: that is how its programs are told.
    """
    home = Path(tempfile.mkdtemp(prefix="hl-"))
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("HOTLINE_")]:
        if name != "HOTLINE_CACHE":
            del os.environ[name]
    chosen = {"HOME": home, "CONFIG": home / "none.toml", "WEB_PORT": _free_port(), **(more or {})}
    os.environ.update({f"HOTLINE_{name}": str(value) for name, value in chosen.items()})
    made = settings.load()
    engine = database.engine(made.database)
    web = programs.own_program(made, "web")
    try:
        await migrations.upgrade(engine)
        for name, role in roles.items():
            await accounts.add(engine, name, role, PASSWORD, clock.now())
        await programs.start_redis(made)
        programs.start(web)
        await programs.until(web, lambda: programs.answers("127.0.0.1", made.web_port), 120)
        yield made, engine
    finally:
        await programs.stop(web)
        await programs.stop_redis(made)
        await engine.dispose()
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(home, ignore_errors=True)


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A headless browser that plays without being clicked. Raises `ProgramError` if there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise programs.ProgramError(f"no browser: install one of {', '.join(BROWSERS)}")
    options = ["--no-sandbox", "--disable-dev-shm-usage"]
    options.append("--autoplay-policy=no-user-gesture-required")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=options)
        try:
            yield browser
        finally:
            await browser.close()


def measure(seconds: int = 3600, seeks: int = _SEEKS) -> list[TableRow]:
    """Make the recording, seek in both; the rows of the table."""
    return asyncio.run(_measure(seconds, seeks))


async def _measure(seconds: int, seeks: int) -> list[TableRow]:
    places = [random.uniform(1, seconds - PAUSE - 5) for _ in range(seeks)]
    async with screens(**{LISTENER: "supervisor"}) as (chosen, engine), chromium() as browser:
        entry = await record(engine, chosen, seconds)
        async with _plain(chosen, entry) as plain:
            page = await _page(browser, chosen)
            address = f"/api/calls/{CALL}/recording"
            ours, theirs = [], []
            for number, place in enumerate(places):
                # Each time another address, or the browser has a part already.
                ours.append(await page.evaluate(_SEEK, [f"{address}?n={number}", place]))
                theirs.append(await page.evaluate(_SEEK, [f"{plain}?n={number}", place]))
    return [
        TableRow(
            f"{what} after a seek in {seconds // 60} min: median, p95",
            _two([one[part] for one in theirs]),
            _two([one[part] for one in ours]),
        )
        for part, what in ((0, "place found"), (1, "first sound"))
    ]


def _two(took: list[float]) -> str:
    return f"{percentile(took, 50):.0f} ms, {percentile(took, 95):.0f} ms"


async def _page(browser: Browser, chosen: Settings) -> Page:
    """A page of the screens, of somebody who has signed in, that may play from elsewhere, too."""
    context = await browser.new_context(bypass_csp=True)
    page = await context.new_page()
    root = f"http://127.0.0.1:{chosen.web_port}"
    signed_in = {"name": LISTENER, "password": PASSWORD}
    answer = await page.request.post(f"{root}/api/session", data=signed_in)
    if not answer.ok:
        raise programs.ProgramError(f"nobody can sign in: {await answer.text()}")
    await page.goto(f"{root}/sign-in")
    return page


_SEEK: Final = """async ([address, place]) => {
  const audio = new Audio();
  audio.preload = "metadata";
  audio.src = address;
  const once = (name) => new Promise((done) => audio.addEventListener(name, done, { once: true }));
  await once("loadedmetadata");
  await audio.play();
  const began = performance.now();
  audio.currentTime = place;
  await once("seeked");
  const found = performance.now() - began;
  while (audio.currentTime <= place) await new Promise((done) => setTimeout(done, 1));
  const heard = performance.now() - began;
  audio.pause();
  audio.removeAttribute("src");
  audio.load();
  return [found, heard];
}"""
"""Milliseconds until the browser has the place, and until sound from there has been played."""


@contextlib.asynccontextmanager
async def _plain(chosen: Settings, entry: LedgerEntry) -> AsyncIterator[str]:
    """The same sound as a plain file of a static server; gives its address."""
    folder = chosen.root / "plain"
    folder.mkdir()
    with reading.open_recording(chosen, entry) as sound, (folder / "call.mp4").open("wb") as file:
        shutil.copyfileobj(sound, file)
    anybody = Middleware(CORSMiddleware, allow_origins=["*"])
    app = Starlette(routes=[Mount("/", StaticFiles(directory=folder))], middleware=[anybody])
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    serving = spawn(server.serve([listening]), "plain")
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/call.mp4"
    finally:
        server.should_exit = True
        await asyncio.wait([serving], timeout=5)
        listening.close()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
