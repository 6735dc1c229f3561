"""The processes beside the controller: recorder, transcripts, and the screens with the API."""

import asyncio
import logging
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from alarms import watch as alarms
from base import database, log, migrations
from base.background import spawn
from base.bus import Bus
from base.settings import Settings
from hotline.machine import home
from hotline.machine.up import stop_event
from metrics import due, older, rollup
from quality import weekly
from recorder import archive, listening, notary
from recorder.vault import uploads
from speech import night

logger = structlog.get_logger(__name__)

_ANSWER_WITHIN = 30.0
"""Seconds for one question of these loops, after which a server that stands still counts as away."""
_ENDS_WITHIN = 10.0
"""Seconds that the recorder waits at its end for what listens to recordings."""


async def record(settings: Settings) -> None:
    """Run the recorder until SIGTERM."""
    from web.accounts import accounts

    log.configure(settings.log_level, settings.log_dir / "recorder.log")
    home.close(settings)
    stop = stop_event()
    engine = await _opened(settings)
    bus = Bus(settings.redis, settings.node)
    sender = spawn(bus.run(), "bus")
    # Folding an hour's calls takes a second of CPU, which the controller must not spend.
    figures = spawn(rollup.run(engine, stop), "roll-ups")
    searched = spawn(older.run(engine, stop), "traits of older calls")
    sealing = spawn(notary.run(engine, settings, stop), "seals")
    keeping = spawn(due.run(engine, settings, stop), "retention")
    sending = spawn(uploads.run(engine, settings, stop), "uploads")
    drawing = spawn(
        weekly.run(engine, settings, partial(accounts.assessors, engine), stop), "draws"
    )
    hearing = spawn(listening.run(engine, settings, stop), "voices")
    try:
        await archive.run(engine, settings, bus.send, stop)
    finally:
        drawing.cancel()
        # It ends its processes by itself, within seconds.
        await asyncio.wait([hearing], timeout=_ENDS_WITHIN)
        sending.cancel()
        keeping.cancel()
        sealing.cancel()
        figures.cancel()
        searched.cancel()
        sender.cancel()
        await bus.close()
        await engine.dispose()


async def transcribe(settings: Settings) -> None:
    """Hear recordings at night, at the lowest priority, until SIGTERM."""
    night.lowest_priority()
    log.configure(settings.log_level, settings.log_dir / "transcribe.log")
    home.close(settings)
    stop = stop_event()
    engine = await _opened(settings)
    try:
        await night.run(engine, settings, stop)
    finally:
        await engine.dispose()


async def _opened(settings: Settings) -> AsyncEngine:
    """The database at this program's version; each question is bounded, but an upgrade takes what it takes."""
    upgrading = database.engine(settings.database)
    try:
        await migrations.upgrade(upgrading)
    finally:
        await upgrading.dispose()
    return database.engine(settings.database, answer_within=_ANSWER_WITHIN)


async def web(settings: Settings) -> None:
    """Run the screens and the API until SIGTERM."""
    import uvicorn

    from web.accounts import accounts
    from web.app import create_app
    from web.server import config

    log.configure(settings.log_level, settings.log_dir / "web.log")
    home.close(settings)
    # A screen that was dropped: `web.feed` has said so already.
    logging.getLogger("uvicorn.error").addFilter(
        lambda record: "without completing response" not in record.getMessage()
    )
    if not settings.web_is_local:
        logger.warning(
            "web.reachable",
            address=settings.web_address,
            hint="passwords pass in clear text: let a proxy with TLS listen there instead",
        )
    engine = database.engine(settings.database)
    await migrations.upgrade(engine)
    await accounts.first_start(engine, settings)
    server = uvicorn.Server(
        config(
            create_app(settings, engine, Bus(settings.redis, settings.node)),
            host=settings.web_address,
            port=settings.web_port,
        )
    )
    async with alarms.over_figures(engine, settings):
        await server.serve()
    await engine.dispose()
