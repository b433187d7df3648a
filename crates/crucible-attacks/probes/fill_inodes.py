"""Makes CANARY_SIZE empty files in the folders that a guest may write to.

Why: a disk without free inodes is as full as one without free bytes (CWE-770). Harmless: no more than that number, on the
sandbox's own file system or the suite's.
"""

import os
import sys
import time


SIZE = int(os.environ.get("CANARY_SIZE", "0"))
FOLDERS = (".", "/tmp", "/dev/shm")


def make(folder, number):
    os.close(os.open(f"{folder}/{sys.argv[1]}-{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))


def main():
    made = 0
    for folder in FOLDERS:
        for number in range(min(SIZE, 100_000) - made):
            try:
                make(folder, number)
            except OSError:
                break
            made += 1
    tell(f"made {made}".encode())


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
