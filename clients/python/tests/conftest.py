"""A real service for the tests: `crucible serve` of the binary that CRUCIBLE_BINARY names, or of `target/debug`."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crucible_sandbox import Client, LocalServer

# The service's Python is the machine's. One of a virtual environment, which may lie anywhere, would be what it finds first.
_OURS = Path(sys.executable).parent
os.environ["PATH"] = os.pathsep.join(each for each in os.environ["PATH"].split(os.pathsep) if Path(each) != _OURS)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def binary() -> Path:
    named = Path(os.environ.get("CRUCIBLE_BINARY") or ROOT / "target/debug/crucible")
    # No skip: without it nothing here says anything.
    assert named.is_file(), f"{named} isn't there: cargo build -p crucible"
    os.environ["CRUCIBLE_BINARY"] = str(named)
    return named


@pytest.fixture(scope="session")
def server(binary: Path) -> Iterator[LocalServer]:
    with LocalServer(binary) as server:
        yield server


@pytest.fixture
def client(server: LocalServer) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client
