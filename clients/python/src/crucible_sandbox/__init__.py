"""Crucible from Python: runs code that nobody has read, isolated, with limits that hold and a record of what protected it.

    from crucible_sandbox import Client

    with Client.local() as crucible:
        print(crucible.run("print(6 * 7)").stdout)

`Client` waits, `AsyncClient` is awaited; both talk to a server, or start one of their own (`Crucible.local()`). Times are in
seconds, sizes in bytes unless a unit is with them. `crucible_sandbox.inspect` is the provider for Inspect AI.
"""

from . import models
from ._wire import Ended, ExecEvent, ExecResult, Output
from .aio import AsyncClient, AsyncSandbox
from .client import Client, Progress, Sandbox
from .errors import (
    ApiError,
    BinaryNotFound,
    Conflict,
    ConnectionFailed,
    CrucibleError,
    EvaluationFailed,
    FileTooLarge,
    Held,
    InfrastructureFailure,
    InvalidInput,
    LocalServerError,
    NotFound,
    OutputLimitExceeded,
    Overloaded,
    ProtocolError,
    Refused,
    Unauthenticated,
    Unavailable,
)
from .local import LocalServer, find_binary
from .models import Evaluation, Outcome, SubmitEvaluation

Crucible = Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncSandbox",
    "BinaryNotFound",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "Crucible",
    "CrucibleError",
    "Ended",
    "Evaluation",
    "EvaluationFailed",
    "ExecEvent",
    "ExecResult",
    "FileTooLarge",
    "Held",
    "InfrastructureFailure",
    "InvalidInput",
    "LocalServer",
    "LocalServerError",
    "NotFound",
    "Outcome",
    "Output",
    "OutputLimitExceeded",
    "Overloaded",
    "Progress",
    "ProtocolError",
    "Refused",
    "Sandbox",
    "SubmitEvaluation",
    "Unauthenticated",
    "Unavailable",
    "find_binary",
    "models",
]
