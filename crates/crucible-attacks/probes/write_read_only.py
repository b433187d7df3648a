"""Opens the file CANARY_PATH, which the sandbox shows read-only, for writing, and keeps it open.

Why: what is shown is shared with the host and with every other sandbox. Harmless: nothing is written; that the descriptor is
open for writing is what the host sees.
"""

import os
import sys
import time


PATH = os.environ.get("CANARY_PATH", "")


def open_again():
    first = os.open(PATH, os.O_RDONLY)
    return os.open(f"/proc/self/fd/{first}", os.O_WRONLY)


def main():
    if not PATH:
        return
    attempt(os.open, PATH, os.O_WRONLY)
    attempt(os.open, PATH, os.O_RDWR | os.O_APPEND)
    attempt(open_again)


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
