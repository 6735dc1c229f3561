"""What of a telephone number, a name or a secret may be read in a log, on a guest's screen, in a report (R54). Pure."""

import re

STARS = "****"
"""What stands where something is hidden."""

LONGEST_REASON = 200
"""Characters of a reason that are kept."""

_TELEPHONE = re.compile(r"(?<![0-9])(?:\+?86)?(?:1[3-9][0-9]{9}|0[0-9]{9,11})(?![0-9])")
_DIGITS = re.compile(r"[0-9]{5,}")


def mask(number: str) -> str:
    """Make a telephone number fit for a log (R54).

    `13812345678` → `138****5678`, shorter ones → `****`, none → `withheld`. At least four digits
    stay hidden, and masking twice changes nothing.
    """
    if number in {"", "withheld"}:
        return "withheld"
    return f"{number[:3]}{STARS}{number[-4:]}" if len(number) >= 11 else STARS


def mask_name(name: str) -> str:
    """An agent's name for those who may not know it: `王芳` → `王*`."""
    return name[:1] + "*" if name else ""


def mask_numbers(text: str) -> str:
    """Mask the Chinese mobile and long-distance numbers in a text that is not ours: a library's, a trace.

    No other digits: a call's id, a time and a port must stay readable in a log.
    """
    return _TELEPHONE.sub(lambda found: mask(found[0]), text)


def reason_of(text: str) -> str:
    """A person's reason as the audit log keeps it: one line of at most `LONGEST_REASON` characters, numbers masked."""
    known = "".join(one if one.isprintable() else " " for one in text)
    return mask_numbers(" ".join(known.split()))[:LONGEST_REASON]


def hide_digits(text: str) -> str:
    """Hide every run of five digits and more in people's own words, for a guest: it may be a number."""
    return _DIGITS.sub(STARS, text)
