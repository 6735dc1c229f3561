"""The processes beside the controller: recorder, transcripts, and the screens with the API."""

import asyncio
import logging
from functools import partial

import structlog

from alarms import watch as alarms
from base import database, log, migrations
from base.background import spawn
from base.bus import Bus
from base.settings import Settings
from hotline.machine import home
from hotline.machine.up import stop_event
from metrics import due, rollup
from quality import weekly
from recorder import archive, listening, notary
from recorder.vault import uploads
from speech import night

logger = structlog.get_logger(__name__)

_ENDS_WITHIN = 10.0
"""Seconds that the recorder waits at its end for what listens to recordings."""


async def record(settings: Settings) -> None:
    """Run the recorder until SIGTERM."""
    from web.accounts import accounts

    log.configure(settings.log_level, settings.log_dir / "recorder.log")
    home.close(settings)
    stop = stop_event()
    engine = database.engine(settings.database)
    await migrations.upgrade(engine)
    bus = Bus(settings.redis, settings.node)
    sender = spawn(bus.run(), "bus")
    # Folding an hour's calls takes a second of CPU, which the controller must not spend.
    figures = spawn(rollup.run(engine, stop), "roll-ups")
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
        sender.cancel()
        await bus.close()
        await engine.dispose()


async def transcribe(settings: Settings) -> None:
    """Hear recordings at night, at the lowest priority, until SIGTERM."""
    night.lowest_priority()
    log.configure(settings.log_level, settings.log_dir / "transcribe.log")
    home.close(settings)
    stop = stop_event()
    engine = database.engine(settings.database)
    await migrations.upgrade(engine)
    try:
        await night.run(engine, settings, stop)
    finally:
        await engine.dispose()


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
