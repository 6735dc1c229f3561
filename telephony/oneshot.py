"""One question to Asterisk's manager interface and its answer, for the command line and cron: pyst2, no event loop.

pyst2 runs threads that hang when its parser fails, so the question is asked in a process of its own with a time-out:
`python -m telephony.oneshot` reads the question as JSON from standard input and writes the answer as JSON.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


class OneshotError(Exception):
    """Asterisk's manager interface did not answer; the message says why."""


def ask(
    host: str, port: int, user: str, secret: str, action: Mapping[str, str], wait: float = 5.0
) -> dict[str, str]:
    """Send one action and return the headers of its answer. Raises `OneshotError`; may take `wait` seconds."""
    if any(ord(letter) < 32 for item in action.items() for text in item for letter in text):
        raise ValueError("an action must not hold line breaks or other control characters")
    question = {"host": host, "port": port, "user": user, "secret": secret, "action": dict(action)}
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "telephony.oneshot"],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            timeout=wait,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OneshotError(f"Asterisk at {host}:{port} did not answer within {wait:g} s") from None
    if done.returncode != 0:
        raise OneshotError(f"Asterisk at {host}:{port}: {done.stdout.strip() or 'no answer'}")
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


def _main() -> int:
    from asterisk.manager import Manager, ManagerException

    question = json.load(sys.stdin)
    manager: Any = Manager()
    try:
        manager.connect(question["host"], question["port"])
        login = {
            "Action": "Login",
            "Username": question["user"],
            "Secret": question["secret"],
            "Events": "off",  # an event that pyst2 cannot parse would end its thread
        }
        if manager.send_action(login).get_header("Response") != "Success":
            print("the secret is refused")
            return 1
        answer = manager.send_action(question["action"])
        json.dump(dict(answer.headers), sys.stdout)
        return 0
    except (ManagerException, OSError) as error:
        print(error)
        return 1


if __name__ == "__main__":
    status = _main()
    sys.stdout.flush()
    # pyst2's threads would wait for events that never come; the connection ends with the process.
    os._exit(status)
