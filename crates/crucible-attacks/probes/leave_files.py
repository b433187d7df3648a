"""Leaves files under the name CANARY_NAME in shared folders, or with LOOK set looks for them and prints what they hold.

Why: what one run leaves, the next one reads or runs (CWE-377). Harmless: a few small files; who finds one removes it.
"""

import os
import sys
import time


NAME = os.environ.get("CANARY_NAME", "")
FOLDERS = ("/tmp", "/dev/shm", "/var/tmp", "/run", "/work", ".", os.path.expanduser("~"))


def leave(folder):
    with open(f"{folder}/{NAME}", "x") as file:
        file.write(NAME)


def look(folder):
    path = f"{folder}/{NAME}"
    with open(path, "rb") as file:
        found = file.read(4096)
    # In a folder where only the owner may, it stays.
    attempt(os.unlink, path)
    return found


def main():
    for folder in FOLDERS if NAME.isalnum() else ():
        attempt(look if "LOOK" in os.environ else leave, folder)


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
