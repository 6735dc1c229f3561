"""What kind of number one is, at home and seen from other regions."""

import pytest

from facts.dialling import NumberKind, is_region, kind_of, may_be_same, readings

KINDS = {
    NumberKind.SUBSCRIBER: (
        *("+8613812345678", "+8619912345678", "+8617460000001", "+862423456789", "02423456789"),
        *("+8641123456789", "+862488881234", "23456789", "2345678", "8234567"),
    ),
    NumberKind.EMERGENCY: ("110", "119", "120", "122", "999", "112", "911", "12110", "12395"),
    NumberKind.PREMIUM: (
        *("16812345", "+8613490000001", "+8617400000001", "+8617450000001"),
        *("+870773111632", "+883510012345678"),
    ),
    NumberKind.SERVICE: ("4008001234", "8008001234", "+864008001234"),
    NumberKind.SHORT: (
        *("600", "10086", "95588", "123456", "234567", "345678"),
        *("02412345", "+862412345", "024123456", "+8641112345", "+8695123456"),
    ),
    NumberKind.ABROAD: ("+85251234567", "+442079460000", "+14155552671"),
    NumberKind.UNKNOWN: (
        *("1234567", "9234567", "95123456", "1234567890", "12345678901"),
        *("+861012345678", "0241234567", "+861541234567"),
    ),
    NumberKind.UNDIALLABLE: ("", "12", "*31#", "+86995", "+999123456"),
}


@pytest.mark.parametrize(
    ("number", "kind"), [(number, kind) for kind, numbers in KINDS.items() for number in numbers]
)
def test_a_number_that_is_dialled_in_china(number: str, kind: NumberKind) -> None:
    assert kind_of.__wrapped__(number) is kind
    assert kind_of(number, "CN") is kind


@pytest.mark.parametrize("number", ["024110", "+8624119", "0411120", "010122", "1101234", "024999"])
def test_an_emergency_number_behind_whatever_is_one(number: str) -> None:
    assert kind_of.__wrapped__(number) is NumberKind.EMERGENCY


@pytest.mark.parametrize(
    ("number", "region", "kind"),
    [
        ("+85251234567", "HK", NumberKind.SUBSCRIBER),
        ("51234567", "HK", NumberKind.SUBSCRIBER),
        ("+862423456789", "HK", NumberKind.ABROAD),
        ("999", "HK", NumberKind.EMERGENCY),
        ("995", "HK", NumberKind.SHORT),
        ("110", "US", NumberKind.EMERGENCY),
        ("+14155552671", "US", NumberKind.SUBSCRIBER),
        ("+14165550123", "US", NumberKind.ABROAD),  # one country code, another country
        ("4155552671", "US", NumberKind.SUBSCRIBER),
        ("5552671", "US", NumberKind.SUBSCRIBER),  # without its area code
        ("23456789", "US", NumberKind.UNKNOWN),
        ("+18005551234", "US", NumberKind.SERVICE),
        ("+19005551234", "US", NumberKind.PREMIUM),
        ("+443001234567", "GB", NumberKind.SERVICE),
        ("+447024123456", "GB", NumberKind.UNKNOWN),
        ("16812345", "HK", NumberKind.UNKNOWN),
        # No country has this area code: it is of the region that is asked for, if it has the country code.
        ("+12005550123", "US", NumberKind.UNKNOWN),
        ("+12005550123", "CN", NumberKind.ABROAD),
        # A mobile number of China's stays one, whoever dials it.
        ("+8613812345678", "US", NumberKind.ABROAD),
    ],
)
def test_a_number_that_is_dialled_elsewhere(number: str, region: str, kind: NumberKind) -> None:
    assert kind_of.__wrapped__(number, region) is kind


@pytest.mark.parametrize(
    ("number", "read"),
    [
        ("12345", ["12345"]),
        ("02412345", ["02412345", "2412345", "12345"]),
        ("+862412345", ["+862412345", "2412345", "12345"]),
        ("+8641112345", ["+8641112345", "41112345", "12345"]),
        ("010110", ["010110", "10110", "110"]),
        ("013812345678", ["013812345678", "13812345678"]),
        ("8624", ["8624"]),
        ("+44207", ["+44207"]),
        ("", [""]),
    ],
)
def test_how_a_number_may_be_read(number: str, read: list[str]) -> None:
    assert list(readings(number)) == read


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("12345", "12345", True),
        ("+862412345", "12345", True),
        ("12345", "024-12345", True),
        ("+8613812345678", "138 1234 5678", True),
        ("12345", "12346", False),
        ("+862412345", "+8641112346", False),
        ("123", "12345", False),
        ("anonymous", "anonymous", True),
        ("12345", "anonymous", False),
    ],
)
def test_which_numbers_may_ring_one_telephone(one: str, other: str, *, same: bool) -> None:
    assert may_be_same(one, other) is same


def test_which_regions_there_are() -> None:
    assert is_region("CN")
    assert not is_region("XX")
    assert not is_region("cn")
