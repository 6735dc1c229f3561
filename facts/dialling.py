"""What kind of number one is, as far as it matters for dialling it: a subscriber at home, an emergency call, … Pure.

The numbering plans are those of the library phonenumbers. It knows neither all of China's emergency numbers nor its
satellite telephones, so these stand here.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumberType, ValidationResult

from facts.numbers import dialable, normalise

HOME = "CN"
"""The region whose subscribers are at home, if the settings name no other."""


class NumberKind(StrEnum):
    """Kinds of numbers. `SERVICE`: shared cost, free of charge, and others that no person has (400, 800, 95…)."""

    SUBSCRIBER = "subscriber"
    EMERGENCY = "emergency"
    PREMIUM = "premium"
    SERVICE = "service"
    SHORT = "short"
    ABROAD = "abroad"
    UNKNOWN = "unknown"
    UNDIALLABLE = "undiallable"


@lru_cache(maxsize=4096)
def kind_of(number: str, region: str = HOME) -> NumberKind:
    """The kind of a number in normal form (`facts.numbers.normalise`), as it is dialled from `region`."""
    if not dialable(number):
        return NumberKind.UNDIALLABLE
    for reading in readings(number):
        if _is_emergency(reading, region):
            return NumberKind.EMERGENCY
    if _SATELLITE.fullmatch(number):
        return NumberKind.PREMIUM
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return NumberKind.UNKNOWN
    kind = _KINDS.get(phonenumbers.number_type(parsed))
    if kind is NumberKind.PREMIUM:
        return kind
    if region == HOME and (rest := _behind_area_code(number)) and not _LOCAL.fullmatch(rest):
        return NumberKind.SHORT if len(rest) <= _LONGEST_SHORT else NumberKind.UNKNOWN
    if number.startswith("+"):
        return _international(number, parsed, kind, region)
    if kind is not None and phonenumbers.is_valid_number(parsed):
        return kind
    if region == HOME and _LOCAL.fullmatch(number):
        return NumberKind.SUBSCRIBER
    if region != HOME and _without_area_code(parsed):
        return NumberKind.SUBSCRIBER
    return NumberKind.SHORT if len(number) <= _LONGEST_SHORT else NumberKind.UNKNOWN


def readings(number: str) -> Iterator[str]:
    """The number as it is, without its country, without its trunk zero, and without its area code.

    `02412345` and `+862412345` are 12345 in Shenyang, and `024110` is its police.
    """
    yield number
    digits = number.removeprefix("+86")
    digits = digits if number.startswith("+86") else digits.lstrip("0")
    if digits != number:
        yield digits
        if found := _AREA_CODE.match(digits):
            yield digits[found.end() :]


def may_be_same(one: str, other: str) -> bool:
    """Whether two numbers may ring the same telephone: with or without country and area code, of whatever city."""
    return not {*readings(one)}.isdisjoint(readings(normalise(other) or other))


def is_region(text: str) -> bool:
    """Whether this is a region that has a numbering plan: `CN`, `HK`."""
    return text in phonenumbers.SUPPORTED_REGIONS


def _behind_area_code(number: str) -> str:
    """What a number in China is within its city; empty for a mobile one, and one without area code."""
    digits = number.removeprefix("+86")
    if digits == number and not number.startswith("0"):
        return ""
    digits = digits.removeprefix("0")
    found = _AREA_CODE.match(digits)
    return "" if found is None or _MOBILE.fullmatch(f"+86{digits}") else digits[found.end() :]


def _is_emergency(number: str, region: str) -> bool:
    if number in _EMERGENCY:
        return True
    # Some networks connect 1101234 to 110.
    return number.isdecimal() and any(
        phonenumbers.connects_to_emergency_number(number, one) for one in (HOME, region)
    )


def _international(
    number: str, parsed: phonenumbers.PhoneNumber, kind: NumberKind | None, region: str
) -> NumberKind:
    regions = phonenumbers.region_codes_for_country_code(parsed.country_code or 0)
    if "001" in regions:
        return (
            NumberKind.PREMIUM
        )  # satellites and international networks: +870, +881, +882, +883, …
    own = phonenumbers.region_code_for_number(parsed) or (region if region in regions else "")
    if own != region:
        return NumberKind.ABROAD
    if kind is not None:
        return kind
    # New ranges of numbers are older in the network than in any library.
    known = _MOBILE.fullmatch(number) or _LOCAL.fullmatch(_behind_area_code(number))
    return NumberKind.SUBSCRIBER if region == HOME and known else NumberKind.UNKNOWN


def _without_area_code(parsed: phonenumbers.PhoneNumber) -> bool:
    reason = phonenumbers.is_possible_number_with_reason(parsed)
    return bool(reason == ValidationResult.IS_POSSIBLE_LOCAL_ONLY)


_KINDS = {
    PhoneNumberType.MOBILE: NumberKind.SUBSCRIBER,
    PhoneNumberType.FIXED_LINE: NumberKind.SUBSCRIBER,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: NumberKind.SUBSCRIBER,
    PhoneNumberType.PREMIUM_RATE: NumberKind.PREMIUM,
    PhoneNumberType.SHARED_COST: NumberKind.SERVICE,
    PhoneNumberType.TOLL_FREE: NumberKind.SERVICE,
    PhoneNumberType.UAN: NumberKind.SERVICE,
    PhoneNumberType.VOIP: NumberKind.SERVICE,
    PhoneNumberType.PAGER: NumberKind.SERVICE,
    PhoneNumberType.VOICEMAIL: NumberKind.SERVICE,
}

_EMERGENCY = frozenset(
    {
        *(
            "110",
            "119",
            "120",
            "122",
            "999",
        ),  # police, fire, ambulance, traffic, Beijing's ambulance
        *("12110", "12395"),  # the police by text, rescue at sea
        *("112", "911"),  # which a mobile network may turn into 110
    }
)
_SATELLITE = re.compile(r"\+86(?:1349|174[0-5])[0-9]+")
_MOBILE = re.compile(r"\+861[3-9][0-9]{9}")
_LOCAL = re.compile(r"[2-8][0-9]{6,7}")
_AREA_CODE = re.compile(r"10|2[0-9]|[3-9][0-9]{2}")
_LONGEST_SHORT = 6
