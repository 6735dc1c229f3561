"""The working calendar that comes with the program (R8)."""

from pathlib import Path

SHIPPED = Path(__file__).with_name("cn-workdays.json")
"""The years that come with the program; for `ivr.hours.read_shipped`, as JSON."""
