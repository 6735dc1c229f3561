"""Says one thing to Asterisk in a phone's name: `telephony.referrals` says what, and why."""

import asyncio
import ipaddress
import secrets
from typing import Any

from telephony.referrals import Referral

ANSWERS_WITHIN = 2.0


async def call_off(referral: Referral, address: str, port: int) -> int:
    """Have Asterisk, which listens there, end the dialogue. Gives its answer's status, 0 for none. Raises `OSError`.

    481: the dialogue was over already, because the phone has sent BYE itself.
    """
    loop = asyncio.get_running_loop()
    transport, answers = await loop.create_datagram_endpoint(
        _Answers, remote_addr=(_to(address), port)
    )
    try:
        host, own, *_ = transport.get_extra_info("sockname")
        here = f"[{host}]:{own}" if ":" in host else f"{host}:{own}"
        branch = secrets.token_hex(8)
        transport.sendto(referral.call_off(here, branch))
        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                status = await answers.final
        except TimeoutError:
            return 0
        transport.sendto(referral.acknowledge(here, branch))
        return status
    finally:
        transport.close()


def _to(address: str) -> str:
    """An address of this machine, where Asterisk may listen at all of them."""
    parsed = ipaddress.ip_address(address)
    if not parsed.is_unspecified:
        return address
    return "::1" if parsed.version == 6 else "127.0.0.1"


class _Answers(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.final: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _: Any) -> None:
        status = data[8:11]
        final = data.startswith(b"SIP/2.0 ") and status.isdigit() and int(status) >= 200
        if final and not self.final.done():
            self.final.set_result(int(status))
