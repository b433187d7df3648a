"""The client that waits. `AsyncClient` has the same methods, to be awaited."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from . import _wire, models
from ._conversation import Conversation
from ._wire import Ended, ExecEvent, ExecResult, FileContent, Output, Request, Timeout
from .errors import ApiError, EvaluationFailed, FileTooLarge, ProtocolError, api_error
from .local import LocalServer

Progress = Callable[[int, int], None]
"""Hears how many of how many are done."""


class Client:
    """A Crucible service. Threads may share one."""

    def __init__(self, url: str | None = None, key: str | None = None, *, timeout: float = _wire.REQUEST_TIMEOUT) -> None:
        """Connects to nothing yet.

        Args:
            url: The service's address; without it CRUCIBLE_CLIENT_SERVER, or http://127.0.0.1:8080.
            key: What it knows its caller by; without it CRUCIBLE_KEY, or none.
            timeout: Seconds that a request may take which doesn't wait for a program.
        """
        self.url = _wire.where(url)
        """The service's address."""
        self._headers = _wire.headers(key)
        self._timeout = timeout
        self._http = httpx.Client(
            base_url=self.url,
            headers=self._headers,
            timeout=timeout,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
        )
        self._server: LocalServer | None = None

    @classmethod
    def local(
        cls,
        binary: str | os.PathLike[str] | None = None,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Client:
        """Starts a service of one's own on this machine, which ends with the client. The arguments are those of `LocalServer`.

        Raises:
            BinaryNotFound: there is no `crucible` here.
            LocalServerError: it didn't start.
        """
        server = LocalServer(binary, data_dir=data_dir, env=env)
        client = cls(server.url)
        client._server = server
        return client

    def close(self) -> None:
        """Closes its connections, and ends the service where that is its own."""
        self._http.close()
        if self._server:
            self._server.stop()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- evaluations --------------------------------------------------------------------------------------------------

    def run(
        self,
        code: str | bytes | None = None,
        *,
        language: str | None = None,
        command: Sequence[str] | None = None,
        files: Mapping[str, FileContent] | None = None,
        collect: Sequence[str] | None = None,
        stdin: str | bytes | None = None,
        args: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        backend: str | None = None,
        limits: Mapping[str, Any] | None = None,
        timeout: Timeout = None,
        policy: str | None = None,
        network: str | None = None,
        tripwires: Sequence[str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> models.Outcome:
        """Runs a program and waits for what comes of it.

        Args:
            code: The program. Either this or `command`.
            language: Its language; without it, `python`.
            command: A program of the sandbox with its arguments, instead of `code`.
            files: What to put in, by its path in the sandbox.
            collect: Files and folders to bring out.
            stdin: Standard input.
            args: The program's arguments.
            env: Variables in addition to the usual ones.
            backend: A backend's name, or `auto`.
            limits: Limits by their names: `{"memory": "1GiB", "pids": 128}`.
            timeout: Seconds that the program may take.
            policy: A policy's name.
            network: `none`, or `allow:HOST:PORT,...`.
            tripwires: What to plant that an honest program leaves alone: `file=.netrc`, `environment=API_KEY`.
            labels: What it can be found by.

        Returns:
            The outcome, whatever the program did: look at its `status` and its `validity`.

        Raises:
            EvaluationFailed: it has no outcome, because Crucible failed, or it is held or was cancelled.
            ApiError: the request was refused.
            ConnectionFailed: the service couldn't be reached.
        """
        evaluation = self.submit(
            code, language=language, command=command, files=files, collect=collect, stdin=stdin, args=args, env=env,
            backend=backend, limits=limits, timeout=timeout, policy=policy, network=network, tripwires=tripwires,
            labels=labels,
        )  # fmt: skip
        return _outcome(self.wait(evaluation))

    def submit(self, code: str | bytes | None = None, **request: Any) -> str:
        """Has a program run, and doesn't wait. The arguments are those of `run`, and all that the interface names.

        Returns:
            The evaluation's id.
        """
        return self.submit_request(_wire.submission(code, **request))

    def submit_request(self, request: models.SubmitEvaluation) -> str:
        """The same with a request as it goes over the wire."""
        return _wire.parse(models.Accepted, self._send(_wire.submit(request))).id

    def get(self, id: str) -> models.Evaluation:
        """An evaluation as it is now."""
        return _wire.parse(models.Evaluation, self._send(_wire.evaluation(id)))

    def wait(self, id: str, timeout: Timeout = None) -> models.Evaluation:
        """Waits until nothing will change about an evaluation any more, or it is held for review.

        Args:
            id: Which.
            timeout: Seconds.

        Raises:
            TimeoutError: it takes longer.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _wire.WAIT if deadline is None else min(_wire.WAIT, deadline - time.monotonic())
            if left <= 0:
                raise TimeoutError(f"evaluation {id} isn't finished after {timeout} s")
            response = self._send(_wire.evaluation(id, left), timeout=self._timeout + left)
            evaluation = _wire.parse(models.Evaluation, response)
            if _wire.is_final(evaluation):
                return evaluation

    def map(
        self,
        programs: Iterable[str | bytes | models.SubmitEvaluation],
        *,
        progress: Progress | None = None,
        **request: Any,
    ) -> list[models.Evaluation | ApiError]:
        """Runs many programs at once, as many beside each other as the service does.

        Args:
            programs: Programs, or requests of their own.
            progress: Is told how many of how many are done.
            request: What goes for each that is a program; the arguments of `run`.

        Returns:
            What became of each, in their order: an evaluation, or why it was refused.
        """
        requests = [
            program
            if isinstance(program, models.SubmitEvaluation)
            else _wire.submission(program, **{name: value for name, value in request.items() if name != "idempotency_key"})
            for program in programs
        ]
        accepted: list[models.BatchResult] = []
        for batch in _wire.batches(requests):
            accepted += _wire.parse(models.BatchAccepted, self._send(batch)).results
        results: list[models.Evaluation | ApiError] = []
        for result in accepted:
            results.append(self.wait(result.accepted.id) if result.accepted else _problem(result))
            if progress:
                progress(len(results), len(requests))
        return results

    def cancel(self, id: str) -> None:
        """Cancels an evaluation."""
        _wire.check(self._send(Request("DELETE", f"/v1/evaluations/{id}")))

    def evaluations(self, **filters: str | int) -> Iterator[models.EvaluationSummary]:
        """All evaluations, the newest first, page by page.

        Args:
            filters: As in the interface: `state="finished"`, `label="suite=x"`, `validity="valid"`.
        """
        cursor: str | None = ""
        while cursor is not None:
            params = {**filters, **({"cursor": cursor} if cursor else {})}
            page = _wire.parse(models.EvaluationList, self._send(Request("GET", "/v1/evaluations", params)))
            yield from page.evaluations
            cursor = page.cursor

    def events(self, id: str) -> Iterator[models.EvaluationEvent]:
        """What happens to an evaluation, as it happens, to its end. A connection that breaks is made anew."""
        reader = _wire.ServerSentEvents()
        attempt = 0
        while True:
            headers = {"accept": "text/event-stream", **({"last-event-id": reader.last} if reader.last else {})}
            try:
                with self._http.stream("GET", f"/v1/evaluations/{id}/events", headers=headers, timeout=None) as response:
                    if not response.is_success:
                        response.read()
                    _wire.check(response)
                    for line in response.iter_lines():
                        if event := reader.feed(line):
                            attempt = 0
                            yield event
                return
            except httpx.TransportError as error:
                attempt += 1
                if attempt >= _wire.TRIES:
                    raise _wire.failed(error, self.url) from error
                time.sleep(0.1 * 3**attempt)

    def attestation(self, id: str) -> bytes:
        """The attestation that covers an evaluation, as a file for `crucible attest verify`.

        Raises:
            NotFound: none covers it.
        """
        response = self._send(Request("GET", f"/v1/evaluations/{id}/attestation"))
        _wire.check(response)
        return response.content

    # ---- sandboxes ----------------------------------------------------------------------------------------------------

    def sandbox(
        self,
        *,
        backend: str | None = None,
        language: str | None = None,
        policy: str | None = None,
        network: str | None = None,
        limits: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        tripwires: Sequence[str] | None = None,
        command_timeout: Timeout = None,
        idle_timeout: Timeout = None,
        lifetime: Timeout = None,
    ) -> Sandbox:
        """Makes a sandbox that stays open. Use it as a context manager, or close it.

        Args:
            backend: A backend's name, or `auto`.
            language: Whose interpreter it is to have; without one it has the ordinary programs.
            policy: A policy's name.
            network: `none`, or `allow:HOST:PORT,...`; without it, the policy's.
            limits: Limits by their names: `{"memory": "1GiB", "disk": "512MiB"}`.
            env: Variables of every command.
            tripwires: What to plant that an honest guest leaves alone: `file=.netrc`.
            command_timeout: Seconds that a command may take which says nothing of it.
            idle_timeout: Seconds that it may lie idle (600).
            lifetime: Seconds that it may live (3600).

        Raises:
            ApiError: it is refused.
            ConnectionFailed: the service couldn't be reached.
        """
        request = _wire.create(
            backend=backend, language=language, policy=policy, network=network, limits=limits, env=env,
            tripwires=tripwires, command_timeout=command_timeout, idle_timeout=idle_timeout, lifetime=lifetime,
        )  # fmt: skip
        return Sandbox(self, _wire.parse(models.Sandbox, self._send(request)))

    def sandboxes(self) -> Iterator[Sandbox]:
        """All that are open, the oldest first."""
        cursor: str | None = ""
        while cursor is not None:
            params = {"cursor": cursor} if cursor else {}
            page = _wire.parse(models.SandboxList, self._send(Request("GET", "/v1/sandboxes", params)))
            for document in page.sandboxes:
                yield Sandbox(self, document)
            cursor = page.cursor

    def attach(self, id: str) -> Sandbox:
        """The sandbox with this id.

        Raises:
            NotFound: there is none.
        """
        return Sandbox(self, _wire.parse(models.Sandbox, self._send(Request("GET", f"/v1/sandboxes/{id}"))))

    # ---- the service --------------------------------------------------------------------------------------------------

    def backends(self) -> models.BackendList:
        """What this service can run programs on."""
        return _wire.parse(models.BackendList, self._send(Request("GET", "/v1/backends")))

    def me(self) -> models.Me:
        """Who asks: key, project, role."""
        return _wire.parse(models.Me, self._send(Request("GET", "/v1/me")))

    def policies(self) -> list[models.PolicyEntry]:
        """The policies that requests may name, and which holds where none is named."""
        return _wire.parse(models.PolicyList, self._send(Request("GET", "/v1/policies"))).policies

    def _send(self, request: Request, timeout: float | None = None) -> httpx.Response:
        attempt = 0
        headers = {"content-type": "application/json"} if request.body is not None else {}
        while True:
            seen: httpx.Response | httpx.TransportError
            try:
                seen = self._http.request(
                    request.method, request.path, params=request.params, content=request.content, headers=headers,
                    timeout=self._timeout if timeout is None else timeout,
                )  # fmt: skip
            except httpx.TransportError as error:
                seen = error
            again = _wire.pause(request, attempt, seen) if isinstance(seen, Exception) or not seen.is_success else None
            if again is None:
                if isinstance(seen, httpx.TransportError):
                    raise _wire.failed(seen, self.url) from seen
                return seen
            attempt += 1
            time.sleep(again)


def _outcome(evaluation: models.Evaluation) -> models.Outcome:
    if evaluation.outcome is None:
        raise EvaluationFailed(evaluation)
    return evaluation.outcome


def _problem(result: models.BatchResult) -> ApiError:
    if result.problem is None:
        raise ProtocolError("a batch's result is neither an evaluation nor a problem")
    return api_error(result.problem.error, result.problem.status)


def _events(response: httpx.Response, url: str) -> Iterator[ExecEvent]:
    try:
        for line in response.iter_lines():
            if line and (event := _wire.exec_event(line)):
                yield event
    except httpx.TransportError as error:
        raise _wire.failed(error, url) from error


class Sandbox:
    """A sandbox that stays open, for as many commands as one likes."""

    def __init__(self, client: Client, document: models.Sandbox) -> None:
        self._client = client
        self.id = document.id
        """Its id."""
        self.document = document
        """What the service said of it last; `refresh` asks again."""

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Removes it, and answers when nothing is left. One that is no more is no error."""
        response = self._client._send(Request("DELETE", f"/v1/sandboxes/{self.id}"))
        if response.status_code != 404:
            _wire.check(response)

    def refresh(self) -> models.Sandbox:
        """What the service says of it now, with what it used."""
        response = self._client._send(Request("GET", f"/v1/sandboxes/{self.id}"))
        self.document = _wire.parse(models.Sandbox, response)
        return self.document

    @property
    def url(self) -> str:
        """The address of the service that has it."""
        return self._client.url

    def record(self) -> models.SandboxRecord:
        """What the host saw of it: until now, or until its end, which can be asked for after that, too.

        Raises:
            NotFound: nothing is known of it any more.
        """
        response = self._client._send(Request("GET", f"/v1/sandboxes/{self.id}/record"))
        return _wire.parse(models.SandboxRecord, response)

    def exec(
        self,
        command: Sequence[str],
        *,
        input: str | bytes | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        timeout: Timeout = None,
        output_limit: int | None = None,
    ) -> ExecResult:
        """Runs a command to its end. It is ended, with all that came of it, where this call is given up.

        Args:
            command: The program and its arguments.
            input: Standard input, of any size.
            cwd: Where it starts; without it, in the work folder.
            env: Variables in addition to the sandbox's.
            user: The user inside, where the backend can (`users` among the sandbox's `features`).
            timeout: Seconds that it may take; then its status is `timed_out`.
            output_limit: The most bytes of each stream; without it, as many as come.

        Raises:
            OutputLimitExceeded: it wrote more than that, and was ended.
            NotFound: there is no such program, or no such sandbox any more.
            ApiError: it couldn't be started, or Crucible failed.
            ConnectionFailed: the service couldn't be reached.
        """
        gathering = _wire.Gathering(output_limit)
        with self.stream(command, input=input, cwd=cwd, env=env, user=user, timeout=timeout) as events:
            for event in events:
                gathering.add(event)
        return gathering.result()

    @contextmanager
    def stream(
        self,
        command: Sequence[str],
        *,
        input: str | bytes | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        timeout: Timeout = None,
    ) -> Iterator[Iterator[ExecEvent]]:
        """Runs a command and gives what it writes as it comes, to its end. Leaving the block earlier ends the command.

        The arguments and errors are those of `exec`.
        """
        body, rest = _wire.exec_body(command, input, cwd, env, user, timeout)
        if rest is not None:
            with Conversation(self._client.url, self._client._headers, self.id, body, rest) as conversation:
                yield conversation.events()
            return
        try:
            with self._client._http.stream(
                "POST",
                f"/v1/sandboxes/{self.id}/exec",
                params={"stream": "true"},
                json=body,
                headers=_wire.AS_IT_COMES,
                timeout=None,
            ) as response:
                if not response.is_success:
                    response.read()
                _wire.check(response)
                yield _events(response, self._client.url)
        except httpx.TransportError as error:
            raise _wire.failed(error, self._client.url) from error

    def read_file(self, path: str, max_bytes: int | None = None) -> bytes:
        """A file's bytes.

        Args:
            path: Below the work folder, or absolute.
            max_bytes: The most that are taken.

        Raises:
            NotFound: there is none.
            IsADirectoryError: it is a folder.
            FileTooLarge: it has more than `max_bytes`.
            Refused: it lies where files aren't read, isn't a plain file, or may not be read.
        """
        return b"".join(self._pieces(path, max_bytes))

    def download(self, path: str, to: str | os.PathLike[str]) -> None:
        """Brings a file out, piece by piece. What was in the place of `to` stays if that fails. Errors as `read_file`."""
        target = Path(to)
        part = target.with_name(f".{target.name}.part")
        try:
            with part.open("wb") as file:
                for piece in self._pieces(path, None):
                    file.write(piece)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def _pieces(self, path: str, max_bytes: int | None) -> Iterator[bytes]:
        taken = 0
        try:
            with self._client._http.stream(
                "GET", _wire.files(self.id), params={"path": path}, headers=_wire.AS_IT_COMES
            ) as response:
                if not response.is_success:
                    response.read()
                _wire.check(response)
                if response.headers.get("content-type", "").startswith("application/json"):
                    raise IsADirectoryError(21, "it is a directory", path)
                for piece in response.iter_bytes(_wire.PIECE):
                    taken += len(piece)
                    if max_bytes is not None and taken > max_bytes:
                        raise FileTooLarge(f"{path} has more than {max_bytes} bytes")
                    yield piece
        except httpx.TransportError as error:
            raise _wire.failed(error, self._client.url) from error

    def write_file(self, path: str, content: FileContent, *, executable: bool = False) -> None:
        """Writes a file, and the folders that it lies in. A `Path` is sent piece by piece.

        Args:
            path: Below the work folder, or absolute.
            content: Text, bytes, or a file of this machine.
            executable: Whether it may be executed.

        Raises:
            InvalidInput: it is larger than the disk limit.
            Refused: it lies where nothing is written, or may not be.
        """
        params = {"path": path, **({"executable": "true"} if executable else {})}
        try:
            if isinstance(content, Path):
                with content.open("rb") as file:
                    length = str(os.fstat(file.fileno()).st_size)
                    pieces = iter(lambda: file.read(_wire.PIECE), b"")
                    response = self._client._http.put(
                        _wire.files(self.id), params=params, content=pieces, headers={"content-length": length}
                    )
            else:
                data = _wire.bytes_of(content)
                response = self._client._http.put(_wire.files(self.id), params=params, content=data)
        except httpx.TransportError as error:
            raise _wire.failed(error, self._client.url) from error
        _wire.check(response)

    def list_files(self, path: str = ".") -> list[models.FileEntry]:
        """What is in a folder.

        Raises:
            NotADirectoryError: it is a file.
        """
        response = self._client._send(Request("GET", _wire.files(self.id), {"path": path}))
        _wire.check(response)
        if not response.headers.get("content-type", "").startswith("application/json"):
            raise NotADirectoryError(20, "it is no directory", path)
        return _wire.parse(models.FileList, response).entries

    def remove_file(self, path: str) -> None:
        """Removes a file, a link or an empty folder."""
        _wire.check(self._client._send(Request("DELETE", _wire.files(self.id), {"path": path})))

    def fork(self) -> Sandbox:
        """Makes another one with the same files, and none of the processes.

        Raises:
            Refused: its backend can't (`forks` isn't among its `features`).
        """
        response = self._client._send(Request("POST", f"/v1/sandboxes/{self.id}/fork"))
        return Sandbox(self._client, _wire.parse(models.Sandbox, response))


__all__ = ["Client", "Ended", "ExecEvent", "ExecResult", "Output", "Progress", "Sandbox"]
