"""What encryption of recordings costs: a call of an hour written and read, and 1,000 bytes anywhere in it."""

import io
import random
import tempfile
import time
from pathlib import Path

from bench.figures import TableRow, percentile
from recorder.policy import FRAME, RATE
from recorder.vault import crypt
from recorder.vault.crypt import Reader, WrappedKey, Writer

_HOUR = 3600 * RATE * FRAME
_BLOCK = bytes(range(256)) * 4096
_CALL = "hotline-1763731200.17"
_PLACES = 1000


def measure(size: int = _HOUR) -> list[TableRow]:
    """Write and read a file of `size` bytes of sound; the rows of the table."""
    key = crypt.new_key(_CALL, WrappedKey("0" * 16, bytes(40)), bytes(32))
    with tempfile.TemporaryDirectory(prefix="hotline-bench-") as name:
        file = Path(name) / "sound"
        began = time.process_time()
        with file.open("wb") as target:
            writer = Writer(target, key)
            for _ in range(size // len(_BLOCK)):
                writer.write(_BLOCK)
            writer.finish()
        wrote = time.process_time() - began
        began = time.process_time()
        with io.BufferedReader(Reader(file.open("rb"), _CALL, key.data_key)) as sound:
            while sound.read(len(_BLOCK)):
                pass
        read = time.process_time() - began
        took = [_anywhere(file, key.data_key, size - 1000) for _ in range(_PLACES)]
    megabytes = writer.size / 1e6
    return [
        TableRow(
            f"encrypt {megabytes:.0f} MB, with both hashes", "", f"{megabytes / wrote:.0f} MB/s CPU"
        ),
        TableRow("decrypt them", "", f"{megabytes / read:.0f} MB/s CPU"),
        TableRow(
            "open, and read 1,000 bytes anywhere: median, p99",
            "",
            f"{percentile(took, 50):.2f} ms, {percentile(took, 99):.2f} ms",
        ),
    ]


def _anywhere(file: Path, data_key: bytes, last: int) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    with io.BufferedReader(Reader(file.open("rb"), _CALL, data_key)) as sound:
        sound.seek(random.randrange(last))
        sound.read(1000)
    return (time.perf_counter() - began) * 1000
