"""Makes hard links to the file CANARY_PATH/canary of the host.

Why: a second name keeps a file that its owner thought deleted, and brings it where it isn't guarded (CWE-62). Harmless: the
file is the suite's own, and so are the folders.
"""

import os
import sys
import time


FOLDER = os.environ.get("CANARY_PATH", "")
NAME = sys.argv[1]


def by_descriptor(target):
    descriptor = os.open(f"{FOLDER}/canary", os.O_RDONLY)
    # With a folder given, the link in /proc is followed.
    os.link(str(descriptor), target, src_dir_fd=os.open("/proc/self/fd", os.O_RDONLY), follow_symlinks=True)


def main():
    if not FOLDER:
        return
    for target in (f"{FOLDER}/{NAME}", NAME, f"/tmp/{NAME}"):
        attempt(os.link, f"{FOLDER}/canary", target)
        attempt(by_descriptor, target + "-again")


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
