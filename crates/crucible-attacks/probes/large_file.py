"""Makes a file of CANARY_SIZE bytes, and keeps it open.

Why: one file too large stops whoever copies it. Harmless: the file has a hole, and takes a page of the disk.
"""

import os
import sys
import time

try:
    import resource
except ImportError:
    resource = None


SIZE = int(os.environ.get("CANARY_SIZE", "0"))


def open_file():
    return os.open(sys.argv[1], os.O_CREAT | os.O_EXCL | os.O_RDWR)


def main():
    if resource is not None:
        attempt(resource.setrlimit, resource.RLIMIT_FSIZE, (-1, -1))
    descriptor = attempt(open_file) if SIZE else None
    if isinstance(descriptor, int):
        # As large as it may be, step by step, and then larger.
        for size in range(1 << 16, SIZE, 1 << 16):
            if attempt(os.ftruncate, descriptor, size) is not None:
                break
        attempt(os.ftruncate, descriptor, SIZE)
        attempt(os.pwrite, descriptor, b"x", SIZE - 1)
        # As far as it gets.
        attempt(os.pwrite, descriptor, b"x" * 4096, 0)


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
