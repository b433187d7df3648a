"""Connects to CANARY_ADDRESS and CANARY_PORT, and sends what a browser would.

Why: services on the host's loopback, in its network and at the cloud's metadata address trust whoever reaches them (CWE-918).
Harmless: the listener is the suite's, and nothing else is connected to.
"""

import os
import sys
import time

try:
    import socket
except ImportError:
    socket = None


ADDRESS = os.environ.get("CANARY_ADDRESS", "127.0.0.1")
PORT = int(os.environ.get("CANARY_PORT", "0"))


def connect(family):
    made = socket.socket(family, socket.SOCK_STREAM)
    made.settimeout(2)
    made.connect((ADDRESS, PORT))
    made.sendall(b"GET /latest/meta-data/ HTTP/1.0\r\n\r\n")
    return made


def main():
    if socket is None or PORT == 0:
        return
    attempt(connect, socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET)
    if ":" not in ADDRESS:
        attempt(connect_mapped)


def connect_mapped():
    made = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    made.settimeout(2)
    made.connect(("::ffff:" + ADDRESS, PORT))
    return made


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
