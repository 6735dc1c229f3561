"""What has one home in `facts` is written nowhere else: read from the source, without running it."""

import ast
import re
from collections.abc import Iterator

import pytest

from facts.causes import Cause
from tests.test_architecture import MODULES, ROOT

HOMES: dict[str, tuple[str, str]] = {
    "China's offset": (r"hours\s*=\s*8\b|Asia/Shanghai", "facts/times.py"),
    "the grammar of attempts": (r"-c\(?\[0-9\]|-c\{", "facts/ids.py"),
    "the grammar of calls": (r"\[a-z\]\[a-z0-9\]\{0,15\}", "facts/ids.py"),
    "masking": (r"\*{4}", "facts/masking.py"),
    "agents' numbers": (r"\[0-9\]\{2,8\}", "facts/numbers.py"),
    "the hotline's numbers": (r"\[0-9\]\{2,15\}", "facts/numbers.py"),
    "dialable numbers": (r"\\\+\?\[0-9\]\{|\[0-9\]\{3,15\}", "facts/numbers.py"),
    "names for no number": (r'"restricted"', "facts/numbers.py"),
    "the endpoint outbound": (r'^[A-Z_]+\s*=\s*"(?:outbound|trunk|outbound-watch)"', "facts/endpoints.py"),
    "the days of the week": (r'"mon", "tue"', "facts/times.py"),
    "the database is away": (
        r"asyncpg\.|DBAPIError|SQLAlchemyError|OperationalError|InterfaceError|PostgresError",
        "base/database.py",
    ),
    "the lists of a year": (r'"makeup_workdays"\)', "facts/calendar.py"),
}  # fmt: skip
"""What, how it would be written, and where it may be."""


def _sources() -> Iterator[tuple[str, str]]:
    for path in MODULES.values():
        name = str(path.relative_to(ROOT))
        if not name.startswith("base/migrations/versions/"):
            yield name, path.read_text()


@pytest.mark.parametrize("what", sorted(HOMES))
def test_it_has_one_home(what: str) -> None:
    pattern, home = HOMES[what]
    found = {name for name, text in _sources() if re.search(pattern, text, re.MULTILINE)}
    assert found == {home}


def test_no_cause_is_written_as_a_number() -> None:
    """No constant is a number of Q.850, and none is compared with a cause, outside `facts.causes`."""
    causes = {int(cause) for cause in Cause} | {str(int(cause)) for cause in Cause}
    found = [
        f"{name}:{getattr(node, 'lineno', 0)}"
        for name, text in _sources()
        if name.startswith(("acd/", "ivr/", "metrics/", "recorder/", "telephony/"))
        for node in ast.walk(ast.parse(text))
        if _is_about_a_cause(node)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Constant) and inner.value in causes
    ]
    assert found == []


_ABOUT = re.compile(
    r"cause|taken_back|withdrawn|elsewhere|rejected|no_answer|no_user|busy|clearing", re.IGNORECASE
)


def _is_about_a_cause(node: ast.AST) -> bool:
    """A comparison, an assignment, an argument or a pair in which a cause is named."""
    if isinstance(node, ast.Compare | ast.Assign | ast.AnnAssign | ast.keyword):
        said = node.arg or "" if isinstance(node, ast.keyword) else ast.unparse(node)
        return _ABOUT.search(said) is not None
    return False


@pytest.mark.parametrize(
    "line",
    ["_BUSY, _NORMAL = 17, 16", 'TAKEN_BACK = "26"', "if cause == 21: pass", "end(cause=16)"],
)
def test_a_cause_written_as_a_number_would_be_seen(line: str) -> None:
    assert any(_is_about_a_cause(node) for node in ast.walk(ast.parse(line)))
