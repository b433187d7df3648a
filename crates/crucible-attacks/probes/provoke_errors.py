"""Provokes errors, and prints all that they tell, with what else names paths.

Why: paths of the host name users and projects, and help the next attack (CWE-209). Harmless: every error is its own.
"""

import os
import sys
import time
import traceback


def read(path):
    with open(path, "rb") as file:
        return file.read(1 << 16)


def fail():
    raise RuntimeError(os.path.abspath(sys.argv[0]))


def main():
    for way in (fail, lambda: open("missing"), lambda: os.execv("./missing", ["missing"]), lambda: __import__("missing")):
        try:
            way()
        except Exception:
            tell(traceback.format_exc().encode())
    for way in (os.getcwd, lambda: os.readlink("/proc/self/exe"), lambda: os.readlink("/proc/self/cwd")):
        attempt(lambda: way().encode())
    for path in ("/proc/self/maps", "/proc/self/mountinfo", "/proc/self/cgroup"):
        attempt(read, path)
    tell(repr((sys.path, sys.argv, sys.executable, sys.prefix)).encode())


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
