"""Moves itself into the control group CANARY_PATH, out of its own and its limits.

Why: who leaves its group has no limits, and in version 1 a group can name a program that the host starts (CVE-2022-0492).
Harmless: the group is the suite's own, and it writes to no file but those that take a process in.
"""

import os
import sys
import time


FOLDER = os.environ.get("CANARY_PATH", "")


def join(name):
    descriptor = os.open(f"{FOLDER}/{name}", os.O_WRONLY)
    os.write(descriptor, b"0")
    return descriptor


def main():
    if FOLDER:
        attempt(join, "cgroup.procs")
        attempt(join, "tasks")


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
