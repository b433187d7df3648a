"""Makes the file `collected` in its folder a link to the file CANARY_PATH of the host, for whoever collects it.

Why: who collects files with more rights than the guest reads what the guest couldn't (CWE-59, CVE-2018-15664). Harmless: the
file is the suite's own.
"""

import os
import sys
import time


PATH = os.environ.get("CANARY_PATH", "")


def main():
    if not PATH:
        return
    with open("collected-plain", "w") as file:
        file.write(sys.argv[1])
    attempt(os.symlink, PATH, "collected")
    attempt(os.symlink, os.path.dirname(PATH), "collected-folder")
    attempt(os.symlink, "/proc/self/root" + PATH, "collected-by-proc")
    attempt(os.link, PATH, "collected-link")


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
