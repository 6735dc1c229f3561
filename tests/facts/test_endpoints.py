"""Whose a channel is, by its name."""

import pytest

from facts.endpoints import endpoint, watch, way_out


@pytest.mark.parametrize(
    ("channel", "name"),
    [
        ("PJSIP/1001-0000002a", "1001"),
        ("PJSIP/trunk-0000002a", "trunk"),
        ("PJSIP/trunk-2-0000002a", "trunk"),
        ("PJSIP/trunk-a-b-0000002a", "trunk"),
        ("PJSIP/outbound-0000002a", "outbound"),
        ("PJSIP/outbound-mobile-0000002a", "outbound"),
        ("PJSIP/trunks-0000002a", "trunks"),
        ("PJSIP/a-b-0000002a", "a-b"),
        ("PJSIP/watch-mobile-0000002a", "watch-mobile"),
        ("PJSIP/1001", ""),
        ("Local/1001-0000002a", ""),
        ("", ""),
    ],
)
def test_the_endpoint_of_a_channel(channel: str, name: str) -> None:
    assert endpoint(channel) == name


def test_each_trunk_has_two_endpoints_of_its_own() -> None:
    assert (way_out("mobile"), watch("mobile")) == ("outbound-mobile", "watch-mobile")
    assert endpoint(f"PJSIP/{way_out('mobile')}-0000002a") == "outbound"
