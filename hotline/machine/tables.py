"""Every table of the program in one place: each room has its own beside its owner, and only the roof knows them all."""

# ruff: noqa: F401 - importing them enters them
import acd.callbacks.tables
import acd.rules.tables
import agents.tables
import alarms.tables
import base.tables
import diary.tables
import metrics.reports.tables
import metrics.tables
import quality.tables
import recorder.tables
import web.accounts.tables
import web.webhooks.tables
from base.database import metadata

__all__ = ["metadata"]
