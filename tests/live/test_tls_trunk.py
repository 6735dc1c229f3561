"""A trunk that must use TLS and SRTP, both ways, while phones need not."""

from collections.abc import AsyncIterator, Iterator

import pytest

from facts import CallbackAnswered, CallbackEnded, CallRefused
from softphone.phones import Phones
from tests.authority import Authority
from tests.live.centre import NUMBER, Centre
from tests.live.gateway import Manners
from tests.live.secure_gateway import SecureGateway
from tests.live.sip import SecureWire, Wire

KEY = b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n"
PCMA = b"8\r\na=rtpmap:8 PCMA/8000\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def way_out(authority: Authority) -> Iterator[SecureGateway]:
    made = SecureGateway(*authority.sign("trunk"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def running(authority: Authority, way_out: SecureGateway) -> Iterator[Centre]:
    certificate, key = authority.sign("exchange")
    with Centre(
        tls_certificate=certificate,
        tls_key=key,
        tls_ca=authority.ca,
        trunk_tls="required",
        outbound=way_out.address,
        callback_rings=8,
    ) as centre:
        centre.add_agent("1001")
        centre.shorten_greeting()
        centre.run("queue", "set", "default", "call_back_lost=no")
        yield centre


@pytest.fixture
async def phones(centre: Centre, authority: Authority) -> AsyncIterator[Phones]:
    async with Phones(centre.sip, ca=authority.ca) as made:
        yield made


async def test_a_citizen_by_tls_and_srtp(centre: Centre, phones: Phones) -> None:
    agent = await centre.agent(phones, "1001")
    line = await phones.agent(
        "13900000001", "", sign_in=False, exchange=centre.tls, transport="tls", srtp=True
    )
    leg = await line.dial(NUMBER)
    offered = await agent.until_rings()
    await leg.until_hears(agent.tone)
    await offered.until_hears(leg.tone)
    await centre.until(lambda: leg.seconds_of(agent.tone) > 1.5, 10, "a talk")
    await leg.hang_up()
    assert (await centre.call("13900000001"))["outcome"] == "human"


async def test_a_plain_trunk_is_refused(centre: Centre, authority: Authority) -> None:
    centre.expected.append("negotiate stream")
    with Wire(centre.sip) as wire:
        plain = await wire.call(NUMBER, b"<sip:13900000002@operator.cn>")
        assert plain.status == 488
        # Encrypted sound, but its key in the clear
        clear = await wire.call(
            *(NUMBER, b"<sip:13900000002@operator.cn>"), profile=b"RTP/SAVP", media=PCMA + KEY
        )
        assert clear.status == 403
        wire.via = "TLS"
        liar = await wire.call(
            *(NUMBER, b"<sip:13900000002@operator.cn>"), profile=b"RTP/SAVP", media=PCMA + KEY
        )
        assert liar.status == 403
    async with SecureWire(centre.tls, authority.ca) as wire:
        half = await wire.call(NUMBER, b"<sip:13900000002@operator.cn>")
        assert half.status == 488
        fine = await wire.call(
            *(NUMBER, b"<sip:13900000003@operator.cn>"), profile=b"RTP/SAVP", media=PCMA + KEY
        )
        assert fine.status == 200
        await fine.hang_up()
    await centre.until(lambda: len(centre.facts(CallRefused)) == 4, 10, "the refusals")
    await centre.call("13900000003")
    rows = [row for row in await centre.calls() if row["caller"].endswith("13900000002")]
    assert [row["outcome"] for row in rows] == ["no_capacity"] * 4


async def test_a_callback_by_tls_and_srtp(
    centre: Centre, phones: Phones, way_out: SecureGateway
) -> None:
    way_out.manners["13800000001"] = Manners(answer_after=0.3, tone=700)
    async with way_out:
        agent = await centre.agent(phones, "1001")
        await centre.cli("callback", "add", "13800000001")
        call = await way_out.call()
        media = [line for line in call.request.splitlines() if line.startswith("m=")]
        assert len(media) == 1
        assert " RTP/SAVP " in media[0]
        await centre.fact(CallbackAnswered, 10)
        leg = await agent.until_rings()
        await leg.until_hears(700)
        await way_out.until_hears(call, agent.tone)
        await leg.hang_up()
        await call.until(lambda: call.ended_at)


@pytest.mark.parametrize(
    ("wrong", "number"),
    [("authority", "13800000002"), ("name", "13800000003"), ("time", "13800000004")],
)
async def test_a_trunk_with_a_wrong_certificate_gets_no_call(
    centre: Centre,
    phones: Phones,
    authority: Authority,
    way_out: SecureGateway,
    wrong: str,
    number: str,
) -> None:
    centre.expected.append("Transport 'transport-tls' to remote")
    right = authority.sign("trunk")
    certificates = {
        "authority": lambda: Authority(authority.ca.parent / "other").sign("trunk"),
        "name": lambda: authority.sign("elsewhere", address="127.0.0.9"),
        "time": lambda: authority.sign("old", days=-1),
    }
    way_out.present(*certificates[wrong]())
    before, ended = len(way_out.calls), len(centre.facts(CallbackEnded))
    async with way_out:
        await centre.agent(phones, "1001")
        await centre.cli("callback", "add", number)
        await centre.fact(CallbackEnded, 20, count=ended + 1)
        assert way_out.calls[before:] == []
    way_out.present(*right)
