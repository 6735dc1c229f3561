"""Browser tests: a whole centre on a real Asterisk, and its screens in a real Chromium."""

import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from softphone.phones import Phones
from tests.live.centre import ROOT, Centre
from tests.live.conftest import centre, pytest_runtest_makereport

__all__ = ["centre", "pytest_runtest_makereport"]

PASSWORD = "a-long-enough-password"
ALERT_WITHIN = 4
"""Seconds until the red button escalates here."""
AGENTS = ("1001", "1002", "1003")
OUTPUT = ROOT / "test-output" / "screens"
expect.set_options(timeout=20_000)  # milliseconds; a busy machine is no defect
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever lies in this folder is live."""
    for item in items:
        if "tests/browser/" in item.nodeid:
            item.add_marker(pytest.mark.live)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(240))


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    """A centre with three agents, and an account for each role that the tests sign in with."""
    assert (ROOT / "web" / "static" / "made" / "wall.js").is_file(), (
        "the screens are not bundled: run `make setup`"
    )
    alarms = {"longest_wait": {"raise_at": 2, "clear_at": 1, "hold": 0, "rest": 0}}
    with Centre(alarms=json.dumps(alarms), alert_within=ALERT_WITHIN) as made:
        made.add_agent(*AGENTS)
        made.shorten_greeting()
        for name, role in (("chief", "supervisor"), ("visitor", "guest")):
            made.run("account", "add", name, "--role", role, "--password-stdin", stdin=PASSWORD)
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def phones(centre: Centre) -> AsyncIterator[Phones]:
    """Telephones of the centre's citizens and agents, in the browser's event loop."""
    async with Phones(centre.sip) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium for the tests of one module; each screen has its own cookies and memory."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert found, f"no browser: install one of {', '.join(BROWSERS)}"
    async with async_playwright() as playwright:
        # Root has no sandbox; nothing but the centre's own pages is opened.
        launched = await playwright.chromium.launch(
            executable_path=found,
            args=[
                "--no-sandbox",
                "--disable-dev-shm-usage",  # containers have little of it
                "--autoplay-policy=no-user-gesture-required",
            ],
        )
        yield launched
        await launched.close()


class Screen:
    """A page of the centre, and what went wrong in it."""

    def __init__(self, centre: Centre, page: Page) -> None:
        self.page = page
        self.centre = centre
        self.address = f"http://127.0.0.1:{centre.web_port}"
        self.problems: list[str] = []
        self.expected: list[str] = []
        """Parts of console messages that this test brings about on purpose."""
        page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))
        page.on(
            "console",
            lambda message: (
                self.problems.append(f"{message.type}: {message.text}")
                if message.type in ("error", "warning")
                else None
            ),
        )

    async def open(self, path: str = "/") -> Page:
        """Go to a page of the centre."""
        await self.page.goto(self.address + path)
        return self.page

    async def sign_in(self, name: str = "chief", path: str = "/") -> Page:
        """Sign in, and go to a page. In this browser, until its end."""
        answer = await self.page.request.post(
            f"{self.address}/api/session", data={"name": name, "password": PASSWORD}
        )
        assert answer.ok, await answer.text()
        return await self.open(path)

    async def picture(self, name: str) -> Path:
        """Keep a picture of the page."""
        OUTPUT.mkdir(parents=True, exist_ok=True)
        file = OUTPUT / f"{name}.png"
        await self.page.screenshot(path=file)
        return file

    def complaints(self) -> list[str]:
        """What the browser complained about and no test announced."""
        return [
            problem
            for problem in self.problems
            if not any(part in problem for part in self.expected)
        ]


MakeScreen = Callable[..., Awaitable[Screen]]


@pytest_asyncio.fixture(loop_scope="module")
async def open_screen(centre: Centre, browser: Browser) -> AsyncIterator[MakeScreen]:
    """Makes screens: `await open_screen(width=390, height=844, color_scheme="light")`."""
    made: list[tuple[BrowserContext, Screen]] = []

    async def make(width: int = 1920, height: int = 1080, color_scheme: str = "dark") -> Screen:
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="light" if color_scheme == "light" else "dark",
            locale="zh-CN",
            timezone_id="Asia/Shanghai",
        )
        screen = Screen(centre, await context.new_page())
        made.append((context, screen))
        return screen

    yield make
    complaints = [problem for _, screen in made for problem in screen.complaints()]
    for context, _ in made:
        await context.close()
    assert not complaints, "\n".join(complaints)


@pytest_asyncio.fixture(loop_scope="module")
async def screen(open_screen: MakeScreen) -> Screen:
    """A wall: 1920 × 1080, dark."""
    return await open_screen()
