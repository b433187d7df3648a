"""Sends a datagram to CANARY_ADDRESS and CANARY_PORT: a question to a name server.

Why: names that are asked for carry secrets out even where no connection is possible (CWE-201). Harmless: the listener is the
suite's, and nothing is sent to anyone else, nor to the system's own name servers.
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
# Asks for the address of `a.test`, a name that belongs to nobody.
QUESTION = b"\0\1\1\0\0\1\0\0\0\0\0\0\1a\4test\0\0\1\0\1"


def send():
    made = socket.socket(socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET, socket.SOCK_DGRAM)
    made.sendto(QUESTION, (ADDRESS, PORT))
    return made


def send_connected():
    made = socket.socket(socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET, socket.SOCK_DGRAM)
    made.connect((ADDRESS, PORT))
    made.send(QUESTION)
    return made


def main():
    if socket is not None and PORT != 0:
        attempt(send)
        attempt(send_connected)


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
