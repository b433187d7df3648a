"""Creates and changes files in the folder CANARY_PATH of the host, in which everybody may.

Why: whoever writes outside its own folder can change what others run (CWE-22, CWE-732). Harmless: the folder and the file in
it are the suite's own, and 16 bytes are written.
"""

import os
import sys
import time


FOLDER = os.environ.get("CANARY_PATH", "")
NONCE = sys.argv[1]


def write(path, how):
    with open(path, how) as file:
        file.write(NONCE[:16])


def main():
    if not FOLDER:
        return
    attempt(write, f"{FOLDER}/{NONCE}", "x")
    attempt(write, f"{FOLDER}/canary", "r+")
    attempt(write, f"/proc/self/root{FOLDER}/{NONCE}", "x")
    attempt(os.mkdir, f"{FOLDER}/{NONCE}-folder")
    attempt(os.symlink, NONCE, f"{FOLDER}/{NONCE}-link")
    attempt(os.rename, f"{FOLDER}/canary", f"{FOLDER}/{NONCE}-renamed")


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
