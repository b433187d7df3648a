"""Prints what a perfect result looks like, as the host and the suite write it, and then ends with code 23.

Why: whoever believes a guest's own word about itself can be told anything (CWE-345). Harmless: it only prints.
"""

import os
import sys
import time


OUTCOME = (
    '{"id": "0", "status": "exited", "exit_code": 0, "signal": null, "limit": null, "validity": "valid", '
    '"verdict": "held", "reach": "not_reached", "usage": {"wall_ms": 0.0}}'
)


def main():
    for line in (OUTCOME, f"tried {sys.argv[1]}", "verdict: held", "test result: ok. 85 passed; 0 failed", "exit code 0"):
        for descriptor in (1, 2):
            try:
                os.write(descriptor, line.encode() + b"\n")
            except OSError:
                pass
    hold()
    sys.exit(23)


# The frame, the same in every probe.

try:
    import select
except ImportError:
    select = None

HELD = []


def attempt(what, *arguments):
    """Makes one try, prints the bytes that it gives, keeps what it gave, and goes on after any failure."""
    try:
        got = what(*arguments)
    except Exception as error:
        got = f"no: {type(error).__name__} {getattr(error, 'errno', '')}".encode()
    HELD.append(got)
    if isinstance(got, bytes):
        tell(got)
    return got


def tell(got):
    """Prints bytes as they are, 1 MiB at most."""
    sys.stdout.buffer.write(got[: 1 << 20] + b"\n")
    sys.stdout.buffer.flush()


def hold():
    """Says that all was tried, and keeps what it got until standard input ends, for 20 seconds at most."""
    tell(b"\ntried " + sys.argv[1].encode())
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if select is not None and not select.select([0], [], [], 1)[0]:
            continue
        if not os.read(0, 4096):
            break


main()
hold()
