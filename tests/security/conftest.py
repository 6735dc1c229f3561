"""Attacks on the real web process of `tests/web/conftest.py`."""

from tests.web.conftest import web

__all__ = ["web"]
