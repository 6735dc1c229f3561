"""SIP over TLS and encrypted sound (SRTP), with an authority of our own: what must be used, and what is refused."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import baresip
import pytest

from base.background import spawn
from softphone.phones import AgentPhone, Phones
from tests.authority import Authority
from tests.live.centre import NUMBER, PASSWORD, Centre
from tests.live.sip import Dialog, SecureWire, Wire

KEY = b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n"
"""A key for the sound as an offer has it (RFC 4568)."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def running(authority: Authority) -> Iterator[Centre]:
    """A centre whose phones must use TLS, while the trunk need not."""
    certificate, key = authority.sign("exchange")
    with Centre(
        tls_certificate=certificate,
        tls_key=key,
        phones_tls="required",
        alarms='{"certificate_unusable": {"hold": 0}}',
    ) as centre:
        centre.shorten_greeting()
        centre.add_agent("1001", "1002")
        yield centre


@pytest.fixture
async def phones(centre: Centre, authority: Authority) -> AsyncIterator[Phones]:
    async with Phones(centre.sip, ca=authority.ca) as made:
        yield made


async def secure(phones: Phones, centre: Centre, number: str, **manners: Any) -> AgentPhone:
    """A phone that speaks TLS and wants SRTP, ready for calls."""
    phone = await phones.agent(
        number, PASSWORD, exchange=centre.tls, transport="tls", srtp=True, **manners
    )
    await centre.press(phone, "*11")
    return phone


async def test_a_phone_signs_in_by_tls_and_talks_by_srtp(centre: Centre, phones: Phones) -> None:
    agent = await secure(phones, centre, "1001")
    assert ";transport=TLS" in centre.asterisk("pjsip show contacts")
    leg = await phones.citizen("13900000001").dial(NUMBER)
    offered = await agent.until_rings()
    # This phone takes no call without SRTP: what is heard was encrypted.
    await leg.until_hears(agent.tone)
    await offered.until_hears(leg.tone)
    await centre.until(lambda: leg.seconds_of(agent.tone) > 1.5, 10, "a talk")
    await leg.hang_up()
    call = await centre.call("13900000001")
    assert call["outcome"] == "human"


async def test_a_phone_without_tls_is_refused(centre: Centre, phones: Phones) -> None:
    for transport in ("udp", "tcp"):
        with pytest.raises(baresip.RegistrationError, match="403"):
            await phones.agent("1002", PASSWORD, exchange=centre.sip, transport=transport)
    with Wire(centre.sip) as wire:
        with pytest.raises(AssertionError, match="403"):
            await wire.register("1002", PASSWORD)
        # Nor does it get any further with a call.
        code = await wire.call("*11", b"<sip:1002@hotline>", password=PASSWORD)
        assert code.status == 404
        colleague = await wire.call("1001", b"<sip:1002@hotline>", password=PASSWORD)
        assert colleague.status == 404
    assert "1002" not in centre.asterisk("pjsip show contacts")


async def test_a_phone_that_lies_about_its_transport_is_sent_nothing(centre: Centre) -> None:
    with Wire(centre.sip) as wire:
        wire.via = "TLS"
        await wire.register("1002", PASSWORD)
        wire.forget()
        centre.asterisk("pjsip qualify 1002")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(4):
                await wire.receive()
        assert "Unavail" in centre.asterisk("pjsip show contacts")
        # And what it dials is refused: the exchange knows where a call came in.
        code = await wire.call(
            *("*11", b"<sip:1002@hotline>"),
            password=PASSWORD,
            profile=b"RTP/SAVP",
            media=b"8\r\na=rtpmap:8 PCMA/8000\r\n" + KEY,
        )
        assert code.status == 403
        await wire.register("1002", PASSWORD, expires=0)


async def test_sound_without_srtp_is_refused(centre: Centre, authority: Authority) -> None:
    centre.expected.append("negotiate stream")
    async with SecureWire(centre.tls, authority.ca) as wire:
        await wire.register("1002", PASSWORD)
        plain = await wire.call("*11", b"<sip:1002@hotline>", password=PASSWORD)
        assert plain.status == 488
        keyless = await wire.call(
            "*11", b"<sip:1002@hotline>", password=PASSWORD, profile=b"RTP/SAVP"
        )
        assert keyless.status == 488
        fine = await wire.call(
            *("*11", b"<sip:1002@hotline>"),
            password=PASSWORD,
            profile=b"RTP/SAVP",
            media=b"8\r\na=rtpmap:8 PCMA/8000\r\n" + KEY,
        )
        assert fine.status == 200
        assert "m=audio" in fine.answer
        assert " RTP/SAVP 8" in fine.answer
        await fine.hang_up()


async def make_ready(centre: Centre, agent: str) -> None:
    await centre.cli("agent", "ready", agent)


async def test_what_is_offered_to_a_phone_is_srtp_only(
    centre: Centre, phones: Phones, authority: Authority
) -> None:
    async with SecureWire(centre.tls, authority.ca) as wire:
        await wire.register("1002", PASSWORD)
        ready = spawn(make_ready(centre, "1002"), "ready")
        leg = await phones.citizen("13900000002").dial(NUMBER)
        async with asyncio.timeout(15):
            got = await wire.until_asked(b"INVITE")
        await ready
        media = [line for line in got.decode().splitlines() if line.startswith("m=")]
        assert len(media) == 1
        assert " RTP/SAVP " in media[0]
        assert b"a=crypto:" in got
        await centre.cli("agent", "out", "1002")
        await leg.hang_up()


async def test_a_phone_by_tls_that_keeps_the_dialogue_after_a_transfer_is_sent_bye(
    centre: Centre, phones: Phones, authority: Authority
) -> None:
    async with SecureWire(centre.tls, authority.ca) as wire:
        await wire.register("1002", PASSWORD)
        answering = spawn(wire.be_there(), "answering")
        await centre.cli("agent", "ready", "1002")
        answering.cancel()
        leg = await phones.citizen("13900000003").dial(NUMBER)
        dialog = await Dialog.pick_up(wire, 15, KEY.decode())
        await centre.presence("1002", "talking")
        second = await secure(phones, centre, "1001", answer_after=0.1)
        target = f"Refer-To: <sip:1001@{centre.tls}>\r\n".encode()
        assert await dialog.ask("REFER", 1, target) == 202
        async with asyncio.timeout(15):
            while not (asked := (await wire.receive()).decode()).startswith("BYE "):
                if not asked.startswith(("SIP/2.0 ", "ACK ")):
                    await wire.reply(asked)
            await wire.reply(asked)
        await leg.until_hears(second.tone)
        await leg.hang_up()
        await wire.register("1002", PASSWORD, expires=0)


async def test_old_tls_and_a_stranger_are_refused(
    centre: Centre, authority: Authority, tmp_path: Path
) -> None:
    host, _, port = centre.tls.rpartition(":")
    for version, fine in (("tls1", False), ("tls1_1", False), ("tls1_2", True), ("tls1_3", True)):
        talk = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-connect", centre.tls, f"-{version}"),
            *("-cipher", "ALL:@SECLEVEL=0", "-CAfile", str(authority.ca), "-verify_return_error"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        said, _ = await talk.communicate()
        assert (b"New, TLSv1." in said) is fine, (version, said.decode())
    # A phone that was given another authority does not trust this exchange.
    other = Authority(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection(
            host, int(port), ssl=ssl.create_default_context(cafile=other.ca)
        )


async def test_a_renewed_certificate_is_taken_in_a_talk(
    centre: Centre, phones: Phones, authority: Authority
) -> None:
    agent = await secure(phones, centre, "1001")
    leg = await phones.citizen("13900000003").dial(NUMBER)
    offered = await agent.until_rings()
    await leg.until_hears(agent.tone)
    before = await shown(centre.tls)

    # Half of a renewal: the key fits no more.
    certificate, key = authority.sign("next")
    theirs = Path(centre.environment["HOTLINE_TLS_CERTIFICATE"])
    centre.expected.append('"event":"certificate.not_taken"')
    theirs.write_bytes(certificate.read_bytes())
    await centre.until(
        lambda: any('"certificate.not_taken"' in line for line in centre.log_lines()), 40, "a word"
    )
    assert await shown(centre.tls) == before
    await raised(centre, "certificate_unusable")
    assert "does not fit" in await centre.cli("check", status=1)

    Path(centre.environment["HOTLINE_TLS_KEY"]).write_bytes(key.read_bytes())
    async with asyncio.timeout(40):
        while await shown(centre.tls) == before:
            await asyncio.sleep(0.2)
    await raised(centre, "certificate_unusable", wanted=False)
    assert leg.talking
    await leg.until_hears(agent.tone)
    await offered.until_hears(leg.tone)
    await leg.hang_up()
    # The phone's connection is the one of before.
    leg = await phones.citizen("13900000004").dial(NUMBER)
    offered = await agent.until_rings(2)
    await leg.until_hears(agent.tone)
    await leg.hang_up()


async def raised(centre: Centre, rule: str, *, wanted: bool = True) -> None:
    """Wait until this alarm is raised, or is not. Raises `TimeoutError`."""
    async with asyncio.timeout(30):
        while (
            any(
                alarm["rule"] == rule
                for alarm in json.loads(await centre.cli("alarm", "list", "--format", "json"))
            )
            is not wanted
        ):
            await asyncio.sleep(0.5)


async def shown(address: str) -> str:
    """The certificate that a newcomer is shown."""
    host, _, port = address.rpartition(":")
    return await asyncio.to_thread(ssl.get_server_certificate, (host, int(port)))
