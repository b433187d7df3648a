"""Reads the file of the host that CANARY_RELATIVE names by going up with `..`, from every folder it can start from.

Why: a root folder that is only a prefix of names is left by `..` (CWE-22). Harmless: only the canary is read, 4 KiB of it.
"""

import os
import sys
import time


PATH = os.environ.get("CANARY_RELATIVE", "")
FOLDERS = (".", "/", "/work", "/tmp", "/dev/shm", "/proc/self/cwd", "/proc/self/root")


def from_folder(folder):
    start = os.open(folder, os.O_RDONLY)
    descriptor = os.open(PATH, os.O_RDONLY, dir_fd=start)
    return os.read(descriptor, 4096)


def step_by_step():
    for step in PATH.split("/")[:-1]:
        os.chdir(step)
    with open(PATH.split("/")[-1], "rb") as file:
        return file.read(4096)


def main():
    for folder in FOLDERS:
        attempt(from_folder, folder)
        attempt(from_folder, folder + "/../../../../..")
    attempt(step_by_step)


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
