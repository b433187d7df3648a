"""Counts for CANARY_SIZE milliseconds of processor time.

Why: a loop without an end takes a processor from the others (CWE-835). Harmless: it ends then, and after 20 seconds at most.
"""

import os
import sys
import time


SIZE = int(os.environ.get("CANARY_SIZE", "0"))


def main():
    end = time.monotonic() + 20
    count = 0
    # WASI has no clock of the processor's time; a loop that does nothing else uses as much as passes.
    clock = time.monotonic if sys.platform == "wasi" else time.process_time
    began = clock()
    while (clock() - began) * 1000 < SIZE and time.monotonic() < end:
        for _ in range(10_000):
            count += 1
    tell(f"counted {count}".encode())


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
