"""Signals the process CANARY_PID with SIGCONT and SIGUSR1.

Why: what can be signalled can be stopped and killed. Harmless: the process is the suite's, prepared for both, and no other
process, group or user is ever named.
"""

import os
import sys
import time

try:
    import signal
except ImportError:
    signal = None


PID = int(os.environ.get("CANARY_PID", "0"))


def by_number(number):
    os.kill(PID, number)


def by_descriptor(number):
    descriptor = os.pidfd_open(PID)
    signal.pidfd_send_signal(descriptor, number)


def main():
    if signal is None or PID <= 1:
        return
    # Some systems know neither their names nor a way to send them.
    for number in (getattr(signal, "SIGCONT", 18), getattr(signal, "SIGUSR1", 10)):
        attempt(by_number, number)
        attempt(by_descriptor, number)


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
