"""Sets the kernel's setting CANARY_PATH to CANARY_NAME.

Why: such settings change the whole machine; one of them names a program that the kernel starts as root (CVE-2022-0811).
Harmless: the setting and the value are the suite's choice, in a network namespace of its own.
"""

import os
import sys
import time


PATH = os.environ.get("CANARY_PATH", "")
VALUE = os.environ.get("CANARY_NAME", "")


def write(path):
    descriptor = os.open(path, os.O_WRONLY)
    os.write(descriptor, VALUE.encode()[:64])
    return descriptor


def main():
    if PATH.startswith("/proc/sys/net/") and VALUE:
        attempt(write, PATH)
        attempt(write, "/proc/self/root" + PATH)


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
