"""Which service makes the sandboxes of a run: the one that is named, or one of its own, which ends with the run's last task."""

from __future__ import annotations

import os

import anyio.to_thread
from anyio.lowlevel import RunVar

from ..aio import AsyncClient
from ..local import LocalServer

# A client belongs to one event loop.
_clients: RunVar[dict[str, AsyncClient]] = RunVar("crucible_clients")
_starting: RunVar[anyio.Lock] = RunVar("crucible_starting")
_local: LocalServer | None = None
_tasks = 0


async def client(url: str | None) -> AsyncClient:
    """A client of the service.

    Raises:
        BinaryNotFound: none is named, and there is no `crucible` to start.
        LocalServerError: it didn't start.
    """
    url = url or os.environ.get("CRUCIBLE_CLIENT_SERVER") or await _own()
    clients = _clients.get({})
    _clients.set(clients)
    if url not in clients:
        clients[url] = AsyncClient(url)
    return clients[url]


async def _own() -> str:
    global _local
    lock = _starting.get(None) or anyio.Lock()
    _starting.set(lock)
    async with lock:
        if _local is None:
            _local = await anyio.to_thread.run_sync(LocalServer)
        return _local.url


def is_own(url: str) -> bool:
    """Whether that service ends with the run."""
    return _local is not None and _local.url == url


def begin_task() -> None:
    """One more task uses them."""
    global _tasks
    _tasks += 1


async def end_task() -> None:
    """One less does. With the last one, connections are closed and a service of the run's own ends."""
    global _tasks, _local
    _tasks -= 1
    if _tasks > 0:
        return
    _tasks = 0
    clients = _clients.get({})
    _clients.set({})
    for each in clients.values():
        await each.close()
    if _local is not None:
        ending, _local = _local, None
        await anyio.to_thread.run_sync(ending.stop)
