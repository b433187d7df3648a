"""Fills pipes with CANARY_SIZE bytes that nobody reads.

Why: what waits in pipes is the kernel's memory, and a limit on processes' own memory doesn't count it. Harmless: no more than
that size, and all is given back at the end.
"""

import os
import sys
import time

try:
    import fcntl
except ImportError:
    fcntl = None


SIZE = int(os.environ.get("CANARY_SIZE", "0"))
SET_SIZE = 1031


def fill():
    read, write = os.pipe()
    HELD.extend((read, write))
    os.set_blocking(write, False)
    try:
        room = fcntl.fcntl(write, SET_SIZE, 1 << 20)
    except OSError:
        room = 1 << 16
    return os.write(write, b"x" * room)


def main():
    if fcntl is None:
        return
    # In a child: the one that writes is the one that is killed.
    child = os.fork()
    if child == 0:
        filled = 0
        while filled < SIZE and len(HELD) < 3000:
            got = attempt(fill)
            if not isinstance(got, int):
                break
            filled += got
        tell(f"filled {filled}".encode())
        time.sleep(1)
        os._exit(0)
    attempt(os.waitpid, child, 0)


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
