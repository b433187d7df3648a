"""Writes CANARY_SIZE bytes to files of 1 MiB in the folders that a guest may write to.

Why: a full disk stops the host's other programs (CWE-770). Harmless: no more than that size, and the files have no name, so
that they are gone when this process is.
"""

import os
import sys
import time


SIZE = int(os.environ.get("CANARY_SIZE", "0"))
FOLDERS = (".", "/tmp", "/dev/shm")


def write(folder, size):
    path = f"{folder}/{sys.argv[1]}"
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR)
    HELD.append(descriptor)
    os.unlink(path)
    return os.write(descriptor, b"x" * size)


def main():
    written = 0
    # A folder that takes nothing more gives way to the next.
    for folder in FOLDERS:
        while written < SIZE and len(HELD) < 200:
            got = attempt(write, folder, min(SIZE - written, 1 << 20))
            if not isinstance(got, int) or got == 0:
                break
            written += got
    tell(f"written {written}".encode())


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
