"""Uses CANARY_SIZE bytes of memory, in pieces of 1 MiB, in a child.

Why: memory without a limit takes the host's other programs down (CWE-770). Harmless: no more than that size, and all is given
back at the end.
"""

import os
import sys
import time


SIZE = int(os.environ.get("CANARY_SIZE", "0"))


def use():
    kept = []
    for _ in range(SIZE >> 20):
        # Not zeros, which the kernel might share.
        kept.append(b"x" * (1 << 20))
    return kept


def main():
    if not hasattr(os, "fork"):
        attempt(use)
        return
    told, tell_end = os.pipe()
    leash, leash_end = os.pipe()
    if os.fork() == 0:
        os.close(leash_end)
        attempt(use)
        os.write(tell_end, b"used")
        # Until the parent has gone.
        os.read(leash, 1)
        os._exit(0)
    os.close(tell_end)
    HELD.append(leash_end)
    # Nothing comes from a child that was killed.
    attempt(os.read, told, 4)


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
