"""Listens on CANARY_ADDRESS and CANARY_PORT, where the host then tries to connect.

Why: programs of the host trust what listens on their loopback, and a guest could pose as it (CWE-291). Harmless: nobody but
the suite knows the port, and nothing is answered.
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


def listen():
    made = socket.socket(socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET, socket.SOCK_STREAM)
    made.bind((ADDRESS, PORT))
    made.listen(1)
    return made


def main():
    if socket is not None and PORT != 0:
        attempt(listen)


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
