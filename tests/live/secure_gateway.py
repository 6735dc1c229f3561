"""The operator's gateway of `tests.live.gateway` over TLS, with encrypted sound (SRTP, keys by RFC 4568)."""

import asyncio
import base64
import re
import secrets
import socket
import ssl
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
from pylibsrtp import Error, Policy, Session

from softphone.phones import tone_share
from tests.live.gateway import Gateway, GatewayCall, alaw
from tests.live.sip import one_message


class SecureGateway(Gateway):
    """Shows the certificate of `present`; speaks only TLS, and only SRTP."""

    via, parameters = "TLS", ";transport=tls"
    keeps_sound = False

    def __init__(self, certificate: Path, key: Path) -> None:
        super().__init__()
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.present(certificate, key)
        self._key = secrets.token_bytes(30)
        self._protection = Session(_policy(self._key, Policy.SSRC_ANY_OUTBOUND))
        self._open: set[asyncio.StreamWriter] = set()

    def present(self, certificate: Path, key: Path) -> None:
        """Show this certificate from the next opening on."""
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate, key)

    @property
    def address(self) -> str:
        """What HOTLINE_OUTBOUND is to be."""
        return f"sip:{self._here()};transport=tls"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._connected, sock=self._listener.dup(), ssl=self._context
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        for call in self.calls:
            call.hang_up()
        await asyncio.sleep(0.05)
        self._server.close()
        for writer in self._open:
            writer.close()
        for writer in [*self._open]:
            with suppress(OSError):
                await writer.wait_closed()

    def close(self) -> None:
        """Give the ports back."""
        super().close()
        self._listener.close()

    def offer(self) -> str:
        """Our SDP: A-law, encrypted."""
        key = base64.b64encode(self._key).decode()
        return (
            super().offer().replace("RTP/AVP", "RTP/SAVP")
            + f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n"
        )

    def protected(self, packet: bytes) -> bytes:
        """A packet of sound as RFC 3711 has it."""
        made: bytes = self._protection.protect(packet)
        return made

    async def until_hears(self, call: GatewayCall, tone: int, within: float = 10.0) -> None:
        """Wait until the citizen hears a tone that was encrypted as the INVITE said. Raises `TimeoutError`."""
        said = re.search(r"a=crypto:\d+ AES_CM_128_HMAC_SHA1_80 inline:([\w+/=]+)", call.request)
        assert said is not None, call.request
        session = Session(_policy(base64.b64decode(said[1]), Policy.SSRC_ANY_INBOUND))
        heard = np.zeros(0, dtype=np.int16)
        deadline = time.monotonic() + within
        while heard.size < 4000 or tone_share(heard[-4000:], tone) < 0.6:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{tone} Hz was not heard within {within} s")
            with suppress(BlockingIOError, Error):
                packet = session.unprotect(self._sound.recv(2048))
                heard = np.concatenate((heard, _SAMPLES[np.frombuffer(packet[12:], np.uint8)]))
                continue
            await asyncio.sleep(0.01)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                self._take((await one_message(reader)).decode(errors="replace"), writer)
        writer.close()
        self._open.discard(writer)

    def _send(self, message: str, where: Any) -> None:
        where.write(message.encode())

    def _here(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"


def _policy(key: bytes, kind: int) -> Policy:
    return Policy(key=key, ssrc_type=kind, srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80)


def _table() -> "np.ndarray[Any, Any]":
    """Each octet of A-law → its sample."""
    samples = np.arange(-32768, 32768, 4, dtype=np.int32)
    table = np.zeros(256, dtype=np.int16)
    table[np.frombuffer(alaw(samples), np.uint8)] = samples
    return table


_SAMPLES = _table()
