"""Starts `crucible serve` on this machine, for as long as somebody wants it."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from .errors import BinaryNotFound, LocalServerError

# The service, with a watcher beside it that ends it when nobody holds the other end of standard input any more: when this process
# was killed, too. It makes sure that it is still the service's child, whose number could be somebody else's by then.
_WATCHED = """
exec 3<&0
service=$$
{ read -r _ <&3; read -r _ _ _ parent _ </proc/self/stat; [ "$parent" = "$service" ] && kill -TERM "$service"; } >/dev/null 2>&1 &
exec "$@" 3<&- </dev/null
"""
_LISTENING = re.compile(r"^listening on (http://\S+)$", re.MULTILINE)


def find_binary(named: str | os.PathLike[str] | None = None) -> Path:
    """The `crucible` to start: the one named, CRUCIBLE_BINARY, the one in this package, or the one on PATH.

    Raises:
        BinaryNotFound: there is none, or what is named isn't one.
    """
    chosen = named or os.environ.get("CRUCIBLE_BINARY")
    if chosen:
        path = Path(chosen)
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise BinaryNotFound(f"{path} is no program")
        return path
    packaged = Path(__file__).parent / "bin" / "crucible"
    found = packaged if packaged.is_file() else shutil.which("crucible")
    if found is None:
        raise BinaryNotFound("there is no crucible on PATH: set CRUCIBLE_BINARY, or name a server (CRUCIBLE_CLIENT_SERVER)")
    return Path(found)


class LocalServer:
    """A `crucible serve` of one's own, on a free port of the loopback interface. It ends with `stop`, or with this process,
    however that ends.

    Whoever can reach that port may use it: it is for machines of one person.
    """

    def __init__(
        self,
        binary: str | os.PathLike[str] | None = None,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        start_timeout: float = 60.0,
    ) -> None:
        """Starts it, and waits until it is ready.

        Args:
            binary: Which `crucible`; see `find_binary`.
            data_dir: Where it keeps what it keeps; without it, in a folder that ends with it.
            env: Variables in addition to this process's, such as `CRUCIBLE_RUN_BACKEND`.
            start_timeout: Seconds that it may take to start.

        Raises:
            BinaryNotFound: there is no `crucible`.
            LocalServerError: it didn't start.
        """
        program = find_binary(binary)
        self._own = None if data_dir else tempfile.mkdtemp(prefix="crucible-")
        self.data_dir = Path(data_dir or str(self._own))
        """Where it keeps what it keeps."""
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the service)
        command = [str(program), "serve", "--listen", "127.0.0.1:0", "--data-dir", str(self.data_dir), "--log", "off"]
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHED, "sh", *command],
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=self._said,
            # The service takes no variable of this kind that it doesn't know.
            env={name: value for name, value in {**os.environ, **(env or {})}.items() if name != "CRUCIBLE_BINARY"},
            # Ctrl-C is for whoever uses it, who then stops it in order.
            start_new_session=True,
        )
        atexit.register(self.stop)
        try:
            self.url = self._wait(time.monotonic() + start_timeout)
            """Its address."""
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def _output(self) -> str:
        self._said.seek(0)
        return self._said.read(1 << 16).decode(errors="replace")

    def _wait(self, deadline: float) -> str:
        while True:
            said = self._output()
            if found := _LISTENING.search(said):
                return found.group(1)
            if self._process.poll() is not None:
                raise LocalServerError(f"crucible serve ended with {self._process.returncode}: {said.strip()[-2000:]}")
            if time.monotonic() > deadline:
                raise LocalServerError(f"crucible serve isn't ready in time: {said.strip()[-2000:]}")
            time.sleep(0.02)

    def stop(self, drain: float = 30.0) -> None:
        """Ends it in order: what runs may go on for a while, and sandboxes are cleared away. Doing it twice is no error.

        Args:
            drain: Seconds after which it is ended in any case.
        """
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(drain)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._said.close()
        if self._own:
            shutil.rmtree(self._own, ignore_errors=True)

    def __enter__(self) -> LocalServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
