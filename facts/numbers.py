"""A caller's number in one form, whatever the trunk wrote (R19). Pure.

What arrives is a stranger's text: it may be empty, 500 characters long, full of control characters or a shell command.
What leaves is at most 32 characters of `0-9`, `*`, `#` and one leading `+`.
"""

import re

LONGEST = 32
"""Characters of a caller's number that are kept; E.164 has 15 digits at most."""

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
_WITH_TRUNK_ZERO = re.compile(r"0([1-9][0-9]{9,10})")
_WITH_COUNTRY = re.compile(r"86([1-9][0-9]{9,10})")
_ABROAD = re.compile(r"00([1-9][0-9]{7,})")


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
        digits = digits[: LONGEST - 1]
        if digits.startswith("86"):
            digits = "86" + digits[2:].lstrip("0")
        return f"+{digits}" if digits else ""
    if _MOBILE.fullmatch(digits):
        return f"+86{digits}"
    if found := _WITH_TRUNK_ZERO.fullmatch(digits) or _WITH_COUNTRY.fullmatch(digits):
        return f"+86{found[1]}"
    return digits
