"""Every table of the program in one place: each room has its own beside its owner, and only the roof knows them all."""

import web.accounts.tables
import web.webhooks.tables  # noqa: F401 - importing them enters them
from base.database import metadata

__all__ = ["metadata"]
