"""Opens CANARY_SIZE descriptors, and keeps them.

Why: open files are the kernel's memory, and their number on the machine is bounded (CWE-770). Harmless: no more than that
number, all of the null device, or of the folder that it started in where there is none.
"""

import os
import sys
import time

try:
    import resource
except ImportError:
    resource = None


SIZE = int(os.environ.get("CANARY_SIZE", "0"))


def raise_limit():
    resource.setrlimit(resource.RLIMIT_NOFILE, (SIZE + 100, SIZE + 100))


def main():
    if resource is not None:
        attempt(raise_limit)
    opened = 0
    path = os.devnull if os.path.exists(os.devnull) else "."
    for _ in range(min(SIZE, 100_000)):
        try:
            HELD.append(os.open(path, os.O_RDONLY))
        except OSError:
            break
        opened += 1
    tell(f"opened {opened}".encode())


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
