"""Telephone numbers: a caller's in one form, however the trunk writes it (R19), and which may be dialled. Pure.

What arrives is a stranger's text: it may be empty, 500 characters long, full of control characters or a shell command.
What leaves `normalise` is at most 32 characters of `0-9`, `*`, `#` and one leading `+`. The numbering plans of China
and of the world are those of the library phonenumbers (Google's libphonenumber); how trunks and people write is ours.
"""

import re
from functools import lru_cache

import phonenumbers

LONGEST = 32
"""Characters of a caller's number that are kept; E.164 has 15 digits at most."""

AGENT_NUMBER = re.compile(r"[0-9]{2,8}")
"""An agent's number (工号, R58): digits only, for it is also their SIP user name and is dialled as it is."""

HOTLINE_NUMBER = re.compile(r"[0-9]{2,15}")
"""One of the hotline's own numbers, as the trunk dials it: from two digits (a test's) to E.164's fifteen."""

_WITHHELD = frozenset(
    {
        "anonymous",
        "private",
        "restricted",
        "unavailable",
        "unknown",
        "withheld",
        "<unknown>",
        "none",
        "null",
    }
)
_NOT_DIALLED = re.compile(r"[^0-9*#+]")
_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_WITH_TRUNK_ZERO = re.compile(r"0[1-9][0-9]{9,10}")
_WITH_COUNTRY = re.compile(r"86[1-9][0-9]{9,10}")
_ABROAD = re.compile(r"00([1-9][0-9]{7,})")
_NUMBER_OR_PREFIX = re.compile(r"\+?[0-9]{1,15}\*?")
# From an emergency's three digits to E.164's fifteen.
_DIALABLE = re.compile(r"[0-9]{3,15}")


@lru_cache(
    maxsize=1024
)  # the events of one call ask several times, and the library takes twenty times as long
def normalise(raw: str) -> str:
    """Bring a caller's number to its normal form; `""` when it is withheld or holds nothing that can be dialled.

    Chinese mobile and long-distance numbers become `+86…`: `13812345678`, `013812345678`, `8613812345678`,
    `0086 138-1234-5678` are one caller, `024 2345 6789` is `+862423456789`. A number from abroad (`00`, `+`) keeps its
    country. A local number without its area code, a short number and an extension stay as they are. Doing it twice
    changes nothing.
    """
    if raw.strip().casefold() in _WITHHELD:
        return ""
    dialled = _NOT_DIALLED.sub("", raw)
    digits = dialled.replace("+", "")[:LONGEST]
    # No country's code begins with 0: a + before one was put there by mistake.
    abroad = dialled.startswith("+") and not digits.startswith("0")
    if found := _ABROAD.fullmatch(digits):
        abroad, digits = True, found[1]
    if abroad:
        return _international(digits[: LONGEST - 1])
    if _MOBILE.fullmatch(digits) or _WITH_TRUNK_ZERO.fullmatch(digits):
        return _e164(digits) or digits
    if _WITH_COUNTRY.fullmatch(digits):
        return _e164(f"+{digits}") or digits
    return digits


def dialable(number: str) -> bool:
    """Whether a number in normal form may be handed to the way out.

    After `+` it is one that some country's plan has, by its length; without, three to fifteen digits: a short number, a
    local one, or another that the operator's exchange knows.
    """
    if number.startswith("+"):
        return _e164(number) == number
    return _DIALABLE.fullmatch(number) is not None


def written_forms(number: str) -> re.Pattern[str]:
    """Where a number in normal form stands in a text, however it is written: `+86 138-…`, `0086…`, `013…`, `13…`.

    Not within other digits, and not within a time or a call's id (`1763731200.17`).
    """
    if number.startswith("+"):
        parsed = phonenumbers.parse(number)
        country, own = str(parsed.country_code), number[1 + len(str(parsed.country_code)) :]
        before = rf"(?:(?:\+|00)?{_spaced(country)}{_GAP}(?:\(?0\)?{_GAP})?"
        before += "|0?)" if country == "86" else ")"
    else:
        before, own = "", number
    return re.compile(rf"(?<![0-9])(?<![0-9]\.){before}{_spaced(own)}(?![0-9])(?!\.[0-9])")


_GAP = "[ -]?"


def _spaced(digits: str) -> str:
    return _GAP.join(re.escape(digit) for digit in digits)


def number_or_prefix(text: str) -> str | None:
    """A number of a list in its normal form, or a prefix such as `+852*` as it is; None when the text is neither."""
    if not _NUMBER_OR_PREFIX.fullmatch(text):
        return None
    return text if text.endswith("*") else normalise(text)


def _international(digits: str) -> str:
    """`+` and the country's code; a number that no plan knows stays as it came, but for China's trunk zero."""
    if digits.startswith("86"):
        digits = "86" + digits[2:].lstrip("0")
    whole = f"+{digits}" if digits else ""
    settled = _e164(whole)
    return settled if settled and _e164(settled) == settled else whole


def _e164(number: str) -> str:
    """The form of E.164, China's numbers understood without their country; empty when no plan has such a number.

    A plan is asked for the length alone: new ranges of numbers are older in the network than in any library.
    """
    try:
        parsed = phonenumbers.parse(number, "CN", keep_raw_input=True)
    except phonenumbers.NumberParseException:
        return ""
    # What begins like a choice of carrier (17951 …) would lose its first digits.
    if parsed.preferred_domestic_carrier_code or not phonenumbers.is_possible_number(parsed):
        return ""
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
