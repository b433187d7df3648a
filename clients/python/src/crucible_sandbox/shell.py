"""A terminal in an open sandbox: `crucible-shell ID`, which `inspect sandbox` names, too."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import termios
import threading
import tty

from . import _wire
from ._conversation import Conversation
from .errors import CrucibleError


def main() -> None:
    """Opens a shell, and ends with its exit code."""
    parser = argparse.ArgumentParser(description="Opens a terminal in a sandbox.")
    parser.add_argument("id", help="the sandbox's id")
    parser.add_argument("--server", help="the service's address; without it CRUCIBLE_CLIENT_SERVER")
    parser.add_argument("--user", help="the user inside")
    parser.add_argument("command", nargs="*", default=["sh"], help="what to run instead of a shell")
    arguments = parser.parse_args()
    url = _wire.where(arguments.server)
    start = {"command": arguments.command, "terminal": _size(), **({"user": arguments.user} if arguments.user else {})}
    try:
        code = _talk(Conversation(url, _wire.headers(None), arguments.id, start))
    except CrucibleError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 69
    sys.exit(code)


def _size() -> dict[str, int]:
    size = shutil.get_terminal_size()
    return {"rows": max(1, size.lines), "columns": max(1, size.columns)}


def _talk(conversation: Conversation) -> int:
    keys = sys.stdin.fileno()
    before = termios.tcgetattr(keys) if os.isatty(keys) else None

    def type_on() -> None:
        while data := os.read(keys, 4096):
            conversation.write(data)
        conversation.say(do="end_of_input")

    with conversation:
        try:
            if before:
                # What was typed already isn't lost.
                tty.setraw(keys, termios.TCSADRAIN)
            signal.signal(signal.SIGWINCH, lambda *_: conversation.say(do="resize", **_size()))
            threading.Thread(target=type_on, daemon=True).start()
            gathered = _wire.Gathering(None)
            for event in conversation.events():
                if isinstance(event, _wire.Output):
                    os.write(sys.stdout.fileno(), event.data)
                else:
                    gathered.add(event)
            return gathered.result().returncode
        finally:
            if before:
                termios.tcsetattr(keys, termios.TCSADRAIN, before)


if __name__ == "__main__":
    main()
