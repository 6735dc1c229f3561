"""Asterisk's endpoints that are no agent's phone (asterisk-conf/pjsip.conf), and the endpoint of a channel. Pure."""

TRUNK = "trunk"
"""The endpoint of citizens who call."""

OUTBOUND = "outbound"
"""The endpoint by which calls leave: to citizens who are called back, and to outside numbers."""

OUTBOUND_WATCH = "outbound-watch"
"""The endpoint by which Asterisk asks the way out whether it is there."""


def endpoint(channel: str) -> str:
    """`PJSIP/1001-0000002a` → `1001`; empty for channels of any other technology."""
    return (
        channel[6 : channel.rfind("-")] if channel.startswith("PJSIP/") and "-" in channel else ""
    )
