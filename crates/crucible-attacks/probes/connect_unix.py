"""Connects to the Unix socket CANARY_NAME, which has no path, or to that at CANARY_PATH.

Why: the host's own services, down to the one that starts containers, listen on such sockets. Harmless: the listener is the
suite's, and nothing else is connected to.
"""

import os
import sys
import time

try:
    import socket
except ImportError:
    socket = None


def connect(address, kind):
    made = socket.socket(socket.AF_UNIX, kind)
    made.settimeout(2)
    made.connect(address)
    return made


def main():
    if socket is None:
        return
    kinds = [getattr(socket, name, None) for name in ("SOCK_STREAM", "SOCK_DGRAM", "SOCK_SEQPACKET")]
    for kind in [kind for kind in kinds if kind is not None]:
        if "CANARY_NAME" in os.environ:
            attempt(connect, "\0" + os.environ["CANARY_NAME"], kind)
        if "CANARY_PATH" in os.environ:
            attempt(connect, os.environ["CANARY_PATH"], kind)
            attempt(connect, "/proc/self/root" + os.environ["CANARY_PATH"], kind)


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
