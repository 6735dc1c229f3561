"""Why an agent pauses, and the key that says so (`*12` and one digit)."""

REASONS = {"1": "小休", "2": "用餐", "3": "培训", "4": "会议", "5": "其他"}
"""Key → reason, as screens show it."""

UNNAMED = REASONS["5"]
"""The reason of an agent who dials `*12` alone."""


def reason(digit: str) -> str | None:
    """The reason behind a key; `None` for a key that has none. No key at all is `UNNAMED`."""
    return REASONS.get(digit) if digit else UNNAMED
