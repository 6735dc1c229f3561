"""Ports for the servers of a test, which no other test and no program gets meanwhile.

A port that is asked of the kernel is given to whoever asks next, until the server listens. These lie below the ports
that the kernel hands out by itself, and a lock on a file holds them.
"""

import fcntl
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

BLOCK = 500
"""Ports of a block. The first `SERVERS` may be listened on for TCP and UDP, the rest is for sound."""
SERVERS = 10
_BLOCKS = range(12_000, 32_000, BLOCK)


@dataclass
class Block:
    """Ports that are ours while the lock is held."""

    first: int
    lock: IO[bytes]

    def close(self) -> None:
        """Let others have them."""
        self.lock.close()


def take() -> Block:
    """Take the next block of ports that no other test holds and no program listens on."""
    folder = Path(tempfile.gettempdir()) / "hotline-test-ports"
    folder.mkdir(exist_ok=True)
    for first in _BLOCKS:
        lock = (folder / str(first)).open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        if _all_free(first):
            return Block(first, lock)
        lock.close()
    raise RuntimeError(f"no free ports for a test between {_BLOCKS.start} and {_BLOCKS.stop}")


def _all_free(first: int) -> bool:
    try:
        for port in range(first, first + BLOCK):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.bind(("127.0.0.1", port))
            if port < first + SERVERS:
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
                    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    tcp.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True
