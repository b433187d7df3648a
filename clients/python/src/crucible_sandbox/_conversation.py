"""A conversation with a command over a WebSocket: for input that a request has no room for, and for terminals.

It has a thread with an event loop of its own, so that it can be used under any loop and under none. What comes is heard while
input is given, however much of either there is: a command may write before it has read everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from . import models
from ._wire import PIECE, ExecEvent, Output, exec_event
from .errors import ConnectionFailed, CrucibleError, ProtocolError, api_error

_STREAMS = {1: "stdout", 2: "stderr"}
_WAITING = 16
"""Events that may wait for whoever listens. Beyond them the command waits, too."""
_PATIENCE = 30.0


class Conversation:
    """One command that is talked with. Leaving it ends the command."""

    def __init__(
        self, url: str, headers: dict[str, str], sandbox: str, start: dict[str, Any], input: bytes | None = None
    ) -> None:
        """Begins it, in a thread; what goes wrong is heard of by `events`.

        Args:
            url: The service's address.
            headers: Of every request.
            sandbox: In which one.
            start: The command, as `ExecRequest`.
            input: All of its standard input, where it isn't written later.
        """
        self._address = f"{url.replace('http', 'ws', 1)}/v1/sandboxes/{sandbox}/exec"
        self._headers = {name: value for name, value in headers.items() if name == "authorization"}
        self._start, self._input = start, input
        self._heard: queue.Queue[ExecEvent | CrucibleError | None] = queue.Queue(_WAITING)
        self._said: asyncio.Queue[str | bytes] = asyncio.Queue()
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._talk())
        self._thread = threading.Thread(target=self._run, daemon=True, name="crucible-conversation")
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._loop.close()

    async def _talk(self) -> None:
        last: CrucibleError | None = None
        try:
            async with connect(
                self._address,
                additional_headers=self._headers,
                compression=None,
                max_size=None,
                open_timeout=_PATIENCE,
                close_timeout=_PATIENCE,
                # Where a command reads nothing the service hears nothing, pings included, which is no fault.
                ping_interval=None,
                proxy=None,
            ) as socket:
                await socket.send(json.dumps({"do": "start", **self._start}))
                saying = asyncio.create_task(self._say(socket))
                try:
                    async for message in socket:
                        if isinstance(message, str):
                            event = exec_event(message)
                        else:
                            event = Output(_STREAMS.get(message[0], "stdout"), message[1:])
                        if event is not None:
                            await self._tell(event)
                except asyncio.CancelledError:
                    # The service may hear nothing of its caller now, so that no farewell would reach it.
                    socket.transport.abort()
                    raise
                finally:
                    saying.cancel()
        except InvalidStatus as error:
            last = _refused(self._address, error)
        except CrucibleError as error:
            last = error
        except (WebSocketException, OSError, TimeoutError) as error:
            last = ConnectionFailed(f"{self._address}: {error or type(error).__name__}")
        await self._tell(last)

    async def _say(self, socket: ClientConnection) -> None:
        # A connection that breaks is noticed by whoever listens, too.
        try:
            if self._input is not None:
                view = memoryview(self._input)
                for start in range(0, len(view), PIECE):
                    await socket.send(view[start : start + PIECE])
                await socket.send(json.dumps({"do": "end_of_input"}))
            while True:
                await socket.send(await self._said.get())
        except (WebSocketException, OSError):
            return

    async def _tell(self, what: ExecEvent | CrucibleError | None) -> None:
        while True:
            try:
                return self._heard.put_nowait(what)
            except queue.Full:
                await asyncio.sleep(0.005)

    def say(self, **message: Any) -> None:
        """Says something that is no input, such as `do="resize"`."""
        self._put(json.dumps(message))

    def write(self, data: bytes) -> None:
        """Gives some input."""
        self._put(data)

    def _put(self, message: str | bytes) -> None:
        # It may be over by now.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._said.put_nowait, message)

    def events(self) -> Iterator[ExecEvent]:
        """What comes, to the command's end.

        Raises:
            ApiError: the command couldn't be started, or Crucible failed.
            ConnectionFailed: the connection broke.
        """
        while (event := self._heard.get()) is not None:
            if isinstance(event, CrucibleError):
                raise event
            yield event

    def close(self) -> None:
        """Ends it, and the command with it."""
        # It may be over.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._task.cancel)
        # Whoever still listens hears the end.
        while self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._heard.put_nowait(None)
            self._thread.join(0.05)

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _refused(address: str, error: InvalidStatus) -> CrucibleError:
    status = error.response.status_code
    try:
        problem = models.HttpProblem.model_validate_json(error.response.body or b"")
    except ValueError:
        return ProtocolError(f"{address} answered {status}")
    return api_error(problem.error, status)
