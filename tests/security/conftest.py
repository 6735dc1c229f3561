"""Attacks, kept as tests. Those with a real Asterisk have files named `test_live_…`."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs a whole centre is live."""
    for item in items:
        if "tests/security/test_live_" in item.nodeid:
            item.add_marker(pytest.mark.live)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(120))
