"""What a worker process does about the process that started it."""

import os
import threading
from multiprocessing import connection, parent_process


def end_with_parent() -> None:
    """Call this in a worker process: it ends as soon as its parent does, however that dies."""
    threading.Thread(target=_wait_for_parent, name="parent", daemon=True).start()


def _wait_for_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
