"""What of a telephone number may be read in a log, on a guest's screen, in a report (R54). Pure."""


def mask(number: str) -> str:
    """Make a telephone number fit for a log (R54).

    `13812345678` → `138****5678`, shorter ones → `****`, none → `withheld`. At least four digits
    stay hidden, and masking twice changes nothing.
    """
    if number in {"", "withheld"}:
        return "withheld"
    return f"{number[:3]}****{number[-4:]}" if len(number) >= 11 else "****"
