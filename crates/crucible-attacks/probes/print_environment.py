"""Prints its own environment, and that of every process whose it can read.

Why: the supervisor's environment holds the keys of whoever runs it (CWE-526). Harmless: it only reads.
"""

import os
import sys
import time


def read(path):
    with open(path, "rb") as file:
        return file.read(1 << 16)


def main():
    for name, value in os.environ.items():
        # What the suite itself gave it is no secret.
        if not name.startswith("CANARY_"):
            tell(f"{name}={value}".encode())
    seen = attempt(os.listdir, "/proc")
    seen = [name for name in seen if name.isdigit()][:500] if isinstance(seen, list) else []
    for process in ["1", str(getattr(os, "getppid", lambda: 1)()), os.environ.get("CANARY_PID", "")] + seen:
        try:
            tell(read(f"/proc/{process}/environ"))
        except OSError:
            pass


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
