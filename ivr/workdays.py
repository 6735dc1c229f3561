"""The working calendar that comes with the program (R8)."""

from pathlib import Path

SHIPPED = Path(__file__).with_name("cn-workdays.json")
"""The years that come with the program; for `facts.calendar.read_years`."""
