"""Starts CANARY_SIZE processes.

Why: processes without a limit take the machine's whole table (CWE-770). Harmless: no more than that number, each sleeps, and
they end with this one: after 20 seconds at most.
"""

import os
import sys
import time


SIZE = int(os.environ.get("CANARY_SIZE", "0"))


def main():
    made = 0
    read, write = os.pipe()
    for _ in range(min(SIZE, 2000)):
        try:
            child = os.fork()
        except OSError:
            break
        if child == 0:
            os.close(write)
            # Ends when the first process does, which holds the other end.
            if select is not None:
                select.select([read], [], [], 20)
            os._exit(0)
        made += 1
    os.close(read)
    HELD.append(write)
    tell(f"started {made}".encode())


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
