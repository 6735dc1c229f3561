"""Live tests: a whole centre on a real Asterisk, and simulated telephones."""

from collections import Counter
from collections.abc import AsyncIterator, Generator, Iterator

import pytest

from softphone.phones import Phones
from tests.live.centre import Centre
from tests.live.gateway import Gateway

AGENTS = ("1001", "1002", "1003")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever lies in this folder is live, and slower than a unit test."""
    for item in items:
        if "tests/live/" in item.nodeid:
            item.add_marker(pytest.mark.live)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(240))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed live test shows the ends of its centre's logs."""
    report = yield
    centre = getattr(item, "funcargs", {}).get("centre")
    if centre is not None and report.failed:
        report.sections.append(("the centre's logs", centre.logs()))
    return report


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    """A centre that the tests of one module share, with three agents. No test may leave it changed."""
    with Centre() as centre:
        centre.add_agent(*AGENTS)
        yield centre


@pytest.fixture
def centre(running: Centre) -> Iterator[Centre]:
    """The shared centre, which must not complain while a test uses it."""
    # By the lines themselves: they come from several files, and what a test expects hides those of before, too.
    before = Counter(running.complaints())
    yield running
    complaints = list((Counter(running.complaints()) - before).elements())
    running.expected.clear()
    assert not complaints, "\n".join(complaints)


@pytest.fixture(scope="module")
def way_out() -> Iterator[Gateway]:
    """The operator's gateway; a test opens it."""
    made = Gateway()
    yield made
    made.close()


@pytest.fixture
async def gateway(way_out: Gateway) -> AsyncIterator[Gateway]:
    """The gateway, with nobody's manners yet: phones ring for ever."""
    way_out.manners.clear()
    way_out.calls.clear()
    async with way_out:
        yield way_out


@pytest.fixture
async def phones(centre: Centre) -> AsyncIterator[Phones]:
    """Telephones of the centre's citizens and agents."""
    async with Phones(centre.sip) as made:
        yield made
