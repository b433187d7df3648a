"""Reads the file CANARY_PATH of the host by its absolute path.

Why: keys, data and other people's code lie in files. Harmless: only the canary is read, 4 KiB of it.
"""

import os
import sys
import time


PATH = os.environ.get("CANARY_PATH", "")


def by_descriptor():
    descriptor = os.open(PATH, os.O_RDONLY)
    return os.read(descriptor, 4096)


def by_folder():
    folder = os.open(os.path.dirname(PATH), os.O_RDONLY)
    descriptor = os.open(os.path.basename(PATH), os.O_RDONLY, dir_fd=folder)
    return os.read(descriptor, 4096)


def by_link():
    os.symlink(PATH, sys.argv[1])
    with open(sys.argv[1], "rb") as file:
        return file.read(4096)


def main():
    if not PATH:
        return
    for way in (by_descriptor, by_folder, by_link):
        attempt(way)


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
