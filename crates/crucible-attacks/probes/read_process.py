"""Reads what /proc tells of the process CANARY_PID: environment, command line, memory and open files.

Why: the supervisor's environment holds the keys of whoever runs it (CWE-214, CWE-526). Harmless: it only reads, and the
process is the suite's stand-in.
"""

import os
import sys
import time


FOLDER = f"/proc/{os.environ.get('CANARY_PID', '0')}"


def read(path):
    with open(path, "rb") as file:
        return file.read(1 << 16)


def stack():
    with open(f"{FOLDER}/maps") as maps:
        end = next(line for line in maps if line.rstrip().endswith("[stack]")).split()[0].split("-")[1]
    with open(f"{FOLDER}/mem", "rb") as memory:
        memory.seek(int(end, 16) - (1 << 16))
        return memory.read(1 << 16)


def main():
    for name in ("environ", "cmdline", "fd/9", "map_files", "cwd", "task/" + FOLDER.split("/")[-1] + "/environ"):
        attempt(read, f"{FOLDER}/{name}")
    attempt(stack)


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
