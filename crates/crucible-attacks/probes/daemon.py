"""Leaves a process behind: forked twice, in a session of its own, deaf to polite signals.

Why: what outlives its run works on unseen and uncounted (CWE-404). Harmless: the process sleeps, and ends by itself after 20
seconds. It has this command line, by which the host finds it.
"""

import os
import sys
import time

try:
    import signal
except ImportError:
    signal = None


def leave():
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    for name in ("SIGTERM", "SIGHUP", "SIGINT", "SIGPIPE"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    for descriptor in range(3):
        os.close(descriptor)
    time.sleep(20)
    os._exit(0)


def main():
    if signal is not None:
        attempt(leave)
        attempt(leave)


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
