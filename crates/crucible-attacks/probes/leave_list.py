"""Asks the proxy of an allow-list, in every way it takes, for CANARY_ADDRESS and CANARY_PORT, which its list doesn't name.

Why: a redirect, another spelling, or a name that comes to mean another address has led many proxies astray (CWE-918, CWE-441).
Harmless: both servers are the suite's, and nothing else is asked for.
"""

import os
import sys
import time

try:
    import socket
except ImportError:
    socket = None


ADDRESS = os.environ.get("CANARY_ADDRESS", "127.0.0.1")
PORT = os.environ.get("CANARY_PORT", "0")
LISTED = os.environ.get("CANARY_LISTED", "0")
NAME = os.environ.get("CANARY_NAME", "")
PROXY = os.environ.get("http_proxy", "").replace("http://", "").rstrip("/")


def at(host, port):
    return ("[%s]:%s" if ":" in host else "%s:%s") % (host, port)


def ask(request):
    host, port = PROXY.rsplit(":", 1)
    made = socket.create_connection((host, int(port)), 5)
    made.sendall(request.encode())
    heard = b""
    while len(heard) < 4096:
        got = made.recv(4096)
        if not got:
            break
        heard += got
    return heard


def follow():
    heard = ask("GET http://%s/ HTTP/1.1\r\n\r\n" % at(ADDRESS, LISTED))
    place = heard.decode().split("Location: ")[1].split("\r\n")[0]
    return ask("GET %s HTTP/1.1\r\n\r\n" % place)


def past():
    socket.create_connection((ADDRESS, int(PORT)), 2).sendall(b"GET / HTTP/1.0\r\n\r\n")
    return b"past the proxy"


def main():
    if socket is None or PORT == "0" or not PROXY:
        return
    attempt(follow)
    mapped = [] if ":" in ADDRESS else ["::ffff:" + ADDRESS]
    for host in [ADDRESS, NAME] + mapped:
        there = at(host, PORT)
        attempt(ask, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\nGET / HTTP/1.0\r\n\r\n" % (there, at(ADDRESS, LISTED)))
        attempt(ask, "GET http://%s/ HTTP/1.1\r\nHost: %s\r\n\r\n" % (there, at(ADDRESS, LISTED)))
    attempt(ask, "GET http://%s/ HTTP/1.1\r\nHost: %s\r\n\r\n" % (at(ADDRESS, LISTED), at(ADDRESS, PORT)))
    attempt(ask, "GET http://%s@%s/ HTTP/1.1\r\n\r\n" % (at(ADDRESS, LISTED), at(ADDRESS, PORT)))
    attempt(past)


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
