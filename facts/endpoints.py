"""Asterisk's endpoints that are no agent's phone (asterisk-conf/pjsip.conf), and the endpoint of a channel. Pure."""

TRUNK = "trunk"
"""The endpoint of citizens who call."""

OUTBOUND = "outbound"
"""The endpoint by which calls leave: to citizens who are called back, and to outside numbers."""

OUTBOUND_WATCH = "outbound-watch"
"""The endpoint by which Asterisk asks the way out whether it is there."""


def way_out(trunk: str) -> str:
    """The endpoint by which calls leave through one of several trunks, and the name of its registration."""
    return f"{OUTBOUND}-{trunk}"


def watch(trunk: str) -> str:
    """The endpoint by which Asterisk asks that trunk whether it is there."""
    return f"watch-{trunk}"


def endpoint(channel: str) -> str:
    """`PJSIP/1001-0000002a` → `1001`; empty for channels of any other technology.

    Those of several trunks are one: `PJSIP/outbound-mobile-0000002a` → `outbound`, `PJSIP/trunk-2-0000002a` → `trunk`.
    """
    if not channel.startswith("PJSIP/") or "-" not in channel:
        return ""
    name = channel[6 : channel.rfind("-")]
    kind = name.partition("-")[0]
    return kind if kind in (TRUNK, OUTBOUND) else name
