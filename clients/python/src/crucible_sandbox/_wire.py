"""Requests as data, and answers as models: all that the synchronous and the asynchronous client have in common. No I/O."""

from __future__ import annotations

import base64
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from . import models
from .errors import ConnectionFailed, OutputLimitExceeded, ProtocolError, api_error

Model = TypeVar("Model", bound=BaseModel)

Timeout = float | None
"""Seconds; `None` for no end."""

FileContent = str | bytes | Path
"""What is in a file: text, bytes, or a file of this machine."""

DEFAULT_URL = "http://127.0.0.1:8080"
REQUEST_TIMEOUT = 60.0
"""Seconds that a request may take which doesn't wait for a program."""
WAIT = 30.0
"""Seconds that the service is asked to wait in one request."""
MOST_IN_BODY = 11 << 20
"""The most bytes of standard input that are sent within a request, whose body may have 16 MiB in base64."""
PIECE = 256 << 10
"""Bytes of a file or of standard input that are sent at a time."""
TRIES = 4
AS_IT_COMES = {"accept-encoding": "identity"}
"""What comes piece by piece isn't compressed: that would keep pieces back, and a machine's own loopback gains nothing."""
_SAFE = ("GET", "PUT", "DELETE")
_FINAL = ("finished", "failed", "cancelled", "dead")


@dataclass(frozen=True)
class Request:
    """One request."""

    method: str
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    body: Any = None
    repeatable: bool = False
    """Whether sending it twice does what sending it once does."""

    @property
    def content(self) -> bytes | None:
        return None if self.body is None else json.dumps(self.body).encode()

    @property
    def may_repeat(self) -> bool:
        return self.repeatable or self.method in _SAFE


def where(url: str | None) -> str:
    """The service's address: as given, from CRUCIBLE_CLIENT_SERVER, or the usual one."""
    return (url or os.environ.get("CRUCIBLE_CLIENT_SERVER") or DEFAULT_URL).rstrip("/")


def headers(key: str | None) -> dict[str, str]:
    """With the key, given or from CRUCIBLE_KEY, if there is one."""
    key = key or os.environ.get("CRUCIBLE_KEY")
    base = {"accept": "application/json", "user-agent": "crucible-sandbox"}
    return {**base, "authorization": f"Bearer {key}"} if key else base


def duration(seconds: float) -> str:
    """A time as the service reads it, to the millisecond."""
    if seconds <= 0:
        raise ValueError(f"a time has to be more than 0 seconds, not {seconds}")
    return f"{max(1, round(seconds * 1000))}ms"


def parse(model: type[Model], response: httpx.Response) -> Model:
    """The answer as a model.

    Raises:
        ApiError: by its kind, where the service answered with a problem.
        ProtocolError: the answer is nothing that the interface names.
    """
    check(response)
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        raise ProtocolError(f"{response.request.url}: {error}") from error


def check(response: httpx.Response) -> None:
    """Raises the problem that an answer tells of, if it does."""
    if response.is_success:
        return
    request_id = response.headers.get("x-request-id")
    try:
        problem = models.HttpProblem.model_validate_json(response.content)
    except ValidationError as error:
        text = response.text[:200]
        raise ProtocolError(f"{response.request.url} answered {response.status_code}: {text!r}") from error
    raise api_error(problem.error, response.status_code, request_id)


def failed(error: httpx.TransportError, url: str) -> ConnectionFailed:
    return ConnectionFailed(f"{url}: {error or type(error).__name__}")


def pause(request: Request, attempt: int, seen: httpx.Response | httpx.TransportError) -> float | None:
    """Seconds after which to try again; `None` where that makes no sense."""
    if attempt + 1 >= TRIES:
        return None
    if isinstance(seen, httpx.Response):
        # Nothing was done then, whatever was asked for.
        if seen.status_code not in (429, 503) or "retry-after" not in seen.headers:
            return None
        try:
            return min(float(seen.headers["retry-after"]), 10.0)
        except ValueError:
            return 1.0
    if isinstance(seen, httpx.ConnectError | httpx.ConnectTimeout) or request.may_repeat:
        return float(0.1 * 3**attempt)
    return None


def is_final(evaluation: models.Evaluation) -> bool:
    """Whether nothing will change about it, unless a person decides."""
    return evaluation.state in _FINAL or evaluation.state == "held"


# ---- evaluations ------------------------------------------------------------------------------------------------------


def submission(
    code: str | bytes | None,
    *,
    command: Sequence[str] | None = None,
    files: Mapping[str, FileContent] | None = None,
    stdin: str | bytes | None = None,
    limits: Mapping[str, Any] | None = None,
    timeout: Timeout = None,
    **rest: Any,
) -> models.SubmitEvaluation:
    """What is asked for, with what was left out left out.

    Raises:
        ValueError: there is neither a program nor a command, or both.
    """
    if (code is None) == (command is None):
        raise ValueError("an evaluation wants either code or a command")
    given: dict[str, Any] = {name: value for name, value in rest.items() if value is not None}
    unknown = given.keys() - models.SubmitEvaluation.model_fields.keys()
    if unknown:
        raise TypeError(f"an evaluation has no {', '.join(sorted(unknown))}")
    if code is not None:
        given |= text_or_base64("code", code)
    if command is not None:
        given["command"] = list(command)
    if stdin is not None:
        given |= text_or_base64("stdin", stdin)
    if files:
        given["files"] = [
            {"path": path, **text_or_base64("content", bytes_of(content)), "executable": _is_executable(content)}
            for path, content in files.items()
        ]
    limits = dict(limits or {})
    if timeout is not None:
        limits["timeout"] = duration(timeout)
    if limits:
        given["limits"] = limits
    # Whoever asks again after a broken connection asks for the same.
    given.setdefault("idempotency_key", str(uuid.uuid4()))
    return models.SubmitEvaluation.model_validate(given)


def bytes_of(content: FileContent) -> bytes:
    match content:
        case Path():
            return content.read_bytes()
        case str():
            return content.encode()
        case _:
            return bytes(content)


def _is_executable(content: FileContent) -> bool:
    return isinstance(content, Path) and os.access(content, os.X_OK)


def text_or_base64(name: str, content: str | bytes) -> dict[str, str]:
    if isinstance(content, str):
        return {name: content}
    try:
        return {name: content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(content).decode()}


def submit(request: models.SubmitEvaluation, wait: float | None = None) -> Request:
    params = {} if wait is None else {"wait": duration(wait)}
    body = request.model_dump(exclude_unset=True)
    return Request("POST", "/v1/evaluations", params, body, repeatable=bool(request.idempotency_key))


def batches(requests: Sequence[models.SubmitEvaluation]) -> Iterator[Request]:
    """Requests for all of them, each within what the service takes at once."""
    waiting: list[Any] = []
    size = 0
    for request in requests:
        document = request.model_dump(exclude_unset=True)
        length = len(json.dumps(document)) + 1
        if waiting and (len(waiting) >= 1000 or size + length > 12 << 20):
            yield Request("POST", "/v1/evaluations:batch", body={"evaluations": waiting}, repeatable=True)
            waiting, size = [], 0
        waiting.append(document)
        size += length
    if waiting:
        yield Request("POST", "/v1/evaluations:batch", body={"evaluations": waiting}, repeatable=True)


def evaluation(id: str, wait: float | None = None) -> Request:
    return Request("GET", f"/v1/evaluations/{quote(id, safe='')}", {} if wait is None else {"wait": duration(wait)})


# ---- sandboxes --------------------------------------------------------------------------------------------------------


def create(
    *,
    limits: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    tripwires: Sequence[str] | None = None,
    command_timeout: Timeout = None,
    idle_timeout: Timeout = None,
    lifetime: Timeout = None,
    **rest: str | None,
) -> Request:
    body: dict[str, Any] = {name: value for name, value in rest.items() if value is not None}
    body |= {name: dict(value) for name, value in (("limits", limits), ("env", env)) if value}
    if tripwires:
        body["tripwires"] = list(tripwires)
    times = (("command_timeout", command_timeout), ("idle_timeout", idle_timeout), ("lifetime", lifetime))
    body |= {name: duration(value) for name, value in times if value is not None}
    return Request("POST", "/v1/sandboxes", body=body)


def exec_body(
    command: Sequence[str],
    input: str | bytes | None,
    cwd: str | None,
    env: Mapping[str, str] | None,
    user: str | None,
    timeout: Timeout,
) -> tuple[dict[str, Any], bytes | None]:
    """What is to be run, and its standard input where that has no room in it."""
    if isinstance(command, str):
        raise TypeError('a command is a list of texts: ["sh", "-c", "..."]')
    body: dict[str, Any] = {"command": list(command)}
    if env:
        body["env"] = dict(env)
    if cwd is not None:
        body["directory"] = cwd
    if user is not None:
        body["user"] = user
    if timeout is not None:
        body["timeout"] = duration(timeout)
    data = input.encode() if isinstance(input, str) else input
    if data is not None and len(data) > MOST_IN_BODY - sum(map(len, body["command"])):
        return body, data
    if data:
        body |= text_or_base64("stdin", data)
    return body, None


@dataclass(frozen=True)
class Output:
    """Something that a command wrote."""

    stream: str
    """`stdout` or `stderr`."""
    data: bytes
    """What it wrote, as it came: a character may begin in one piece and end in the next."""


@dataclass(frozen=True)
class Ended:
    """A command's end. The last event."""

    result: models.ExecEnded
    """How it ended."""


ExecEvent = Output | Ended


def exec_event(line: str | bytes) -> ExecEvent | None:
    """What a line tells of; `None` for its start.

    Raises:
        ApiError: Crucible failed.
        ProtocolError: it is no event.
    """
    try:
        document = json.loads(line)
        match document["event"]:
            case "output":
                return Output(document["stream"], base64.b64decode(document["base64"]))
            case "ended":
                return Ended(models.ExecEnded.model_validate(document))
            case "failed":
                raise api_error(models.ProblemDetail.model_validate(document["error"]))
            case _:
                return None
    except (ValueError, KeyError, TypeError) as error:
        raise ProtocolError(f"no event of a command: {error}") from error


@dataclass(frozen=True)
class ExecResult:
    """How a command ended, and what it wrote."""

    ended: models.ExecEnded
    """All that the service says of its end."""
    stdout_bytes: bytes
    """Standard output."""
    stderr_bytes: bytes
    """Standard error."""

    @property
    def stdout(self) -> str:
        """Standard output as text, with replacement characters where it is none."""
        return self.stdout_bytes.decode(errors="replace")

    @property
    def stderr(self) -> str:
        """Standard error as text, with replacement characters where it is none."""
        return self.stderr_bytes.decode(errors="replace")

    @property
    def status(self) -> str:
        """`exited`, `signaled`, `timed_out`, `out_of_memory`, `limit_exceeded`, `denied` or `cancelled`."""
        return self.ended.status

    @property
    def returncode(self) -> int:
        """As `crucible sandbox exec` gives it: its own, 128+N after signal N, 124 after its timeout, 137 for want of memory,
        125 after another limit, 77 where the policy ended it, 75 where the sandbox ended."""
        ended = self.ended
        codes = {"timed_out": 124, "out_of_memory": 137, "limit_exceeded": 125, "denied": 77, "cancelled": 75}
        if ended.status in codes:
            return codes[ended.status]
        if ended.signal is not None:
            return 128 + ended.signal
        return ended.exit_code if ended.exit_code is not None else 125

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with 0."""
        return self.returncode == 0


class Gathering:
    """Puts a command's events together, within a bound."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._streams = {"stdout": bytearray(), "stderr": bytearray()}
        self._ended: models.ExecEnded | None = None

    def add(self, event: ExecEvent) -> None:
        """Raises OutputLimitExceeded."""
        if isinstance(event, Ended):
            self._ended = event.result
            return
        kept = self._streams[event.stream]
        kept += event.data
        if self._limit is not None and len(kept) > self._limit:
            del kept[self._limit :]
            raise OutputLimitExceeded(self._limit, *map(bytes, self._streams.values()))

    def result(self) -> ExecResult:
        if self._ended is None:
            raise ConnectionFailed("the service went away before it told how the command ended")
        return ExecResult(self._ended, *map(bytes, self._streams.values()))


def files(id: str) -> str:
    return f"/v1/sandboxes/{quote(id, safe='')}/files"


class ServerSentEvents:
    """Reads server-sent events, line by line."""

    def __init__(self) -> None:
        self._data: list[str] = []
        self._id: str | None = None
        self.last: str | None = None
        """The id of the last whole event, for `Last-Event-ID`."""

    def feed(self, line: str) -> models.EvaluationEvent | None:
        """The event that a line ends, if it does."""
        if not line:
            data, self._data = self._data, []
            if not data:
                return None
            self.last = self._id or self.last
            try:
                return models.EvaluationEvent.model_validate_json("\n".join(data))
            except ValidationError as error:
                raise ProtocolError(f"no event: {error}") from error
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        elif name == "id":
            self._id = value.removeprefix(" ")
        return None
