"""Attacks, kept as tests: on the web process of `tests/web/conftest.py`, or with a real Asterisk (`test_live_…`)."""

import pytest

from tests.web.conftest import web

__all__ = ["web"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs a whole centre is live."""
    for item in items:
        if "tests/security/test_live_" in item.nodeid:
            item.add_marker(pytest.mark.live)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(120))
