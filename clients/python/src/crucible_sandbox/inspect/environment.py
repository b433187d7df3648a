"""The sandbox environment: what Inspect asks for, as commands and files of a Crucible sandbox.

Invariant: a guest's failure is a result or one of the errors that Inspect names for it. What Crucible failed at, or a
sandbox that is no more, is a `SandboxLostError`, which no tool and no scorer takes for an answer: the sample fails.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import posixpath
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, overload

import anyio
from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxConnection,
    SandboxEnvironment,
    SandboxEnvironmentConfigType,
    SandboxEnvironmentLimits,
    SandboxUnavailableError,
    SandboxUserUnsupportedError,
    concurrency,
    sandboxenv,
    store,
)
from inspect_ai.util._sandbox._cli import SANDBOX_CLI
from inspect_ai.util._sandbox.compose import COMPOSE_FILES
from inspect_ai.util._sandbox.events import SandboxTimeoutError
from pydantic import BaseModel
from typing_extensions import override

from .. import errors, models
from .._wire import ExecResult as Result
from ..aio import AsyncClient, AsyncSandbox
from . import servers
from .config import CONFIG_FILES, CrucibleSandboxConfig, SandboxService, load

logger = logging.getLogger(__name__)

STORE_KEY = "crucible"
"""Where a sample's store has the records of its sandboxes, by their names."""
AT_ONCE = 4 * (os.cpu_count() or 1)
"""Commands that are started beside each other, so that each gets the processor within its own time."""
OUR_USERS = ("guest", "1000")
"""What a sandbox's own user is called, where it has one only."""

# Looks for itself, where a path isn't one of those that the service reads and writes. Its exit codes are this module's own.
_DIRECTORY, _MISSING, _FORBIDDEN, _FULL = 21, 22, 23, 28
_DENIED = "Permission denied"
"""What the service says of a file that nobody may use so. The sandbox's own shell may be root, who may all the same."""
_READ = f"""
[ -d "$1" ] && exit {_DIRECTORY}
[ -e "$1" ] || exit {_MISSING}
[ -r "$1" ] || exit {_FORBIDDEN}
exec cat -- "$1"
"""
_WRITE = f"""
[ -d "$1" ] && exit {_DIRECTORY}
mkdir -p -- "$2" || exit {_FORBIDDEN}
if [ -e "$1" ]; then [ -w "$1" ] || exit {_FORBIDDEN}; else : >"$1" || exit {_FORBIDDEN}; fi
cat >"$1" || exit {_FULL}
"""


class SandboxLostError(RuntimeError):
    """The sandbox is no more, or Crucible failed. Whatever a sample came to after that says nothing of the model."""


@sandboxenv(name="crucible")
class CrucibleSandboxEnvironment(SandboxEnvironment):
    """One sandbox of a sample."""

    def __init__(self, sandbox: AsyncSandbox, service: SandboxService) -> None:
        super().__init__()
        self.sandbox = sandbox
        """The sandbox itself, for what Inspect has no words for."""
        self._service = service
        self._lost: str | None = None

    # ---- commands and files -------------------------------------------------------------------------------------------

    @override
    async def exec(
        self,
        cmd: list[str],
        input: str | bytes | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        """As Inspect says. A timeout here is the command's own, so that nothing is gained by trying again."""
        if any("\0" in text for text in (*cmd, cwd or "", *(env or {}).values())):
            raise ValueError("embedded null byte")
        limit = SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE
        try:
            async with _place(concurrency):
                result = await self.sandbox.exec(
                    cmd,
                    input=input,
                    cwd=self._path(cwd or "."),
                    env=env,
                    user=self._user(user),
                    timeout=timeout,
                    output_limit=limit,
                )
        except errors.OutputLimitExceeded as error:
            raise OutputLimitExceededError(
                SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE_STR, error.stdout.decode(errors="replace")
            ) from error
        except errors.ApiError as error:
            return self._not_started(cmd, error)
        except errors.ConnectionFailed as error:
            raise self._gone(str(error)) from error
        if result.returncode == 1 and cmd == [SANDBOX_CLI, "start-server"] and b"/proc/stat" in result.stderr_bytes:
            # A sandbox doesn't tell when its machine was booted, which the tool asks once it has started its server. Asked again,
            # it finds the server and is content.
            result = await self.sandbox.exec(cmd, user=self._user(user), env=env, timeout=timeout, output_limit=limit)
        return self._result(result, timeout)

    def _user(self, user: str | None) -> str | None:
        if user is None or "users" in self.sandbox.document.features:
            return user
        if user in OUR_USERS:
            return None
        raise SandboxUserUnsupportedError(f"the backend {self.sandbox.document.backend} can't run a command as {user!r}")

    def _not_started(self, cmd: list[str], error: errors.ApiError) -> ExecResult[str]:
        if error.operation == "start the command":
            if isinstance(error, errors.NotFound):
                return ExecResult(False, 127, "", f"{cmd[0]}: {error.message}\n")
            if isinstance(error, errors.InvalidInput):
                if "can't be executed" in error.message:
                    raise PermissionError(errno.EACCES, error.message, cmd[0]) from error
                return ExecResult(False, 126, "", f"{cmd[0]}: {error.message}\n")
            if isinstance(error, errors.Refused) and "user" in error.message:
                raise SandboxUserUnsupportedError(error.message) from error
        if isinstance(error, errors.InvalidInput):
            # The command itself is wrong: too long, or no command at all.
            return ExecResult(False, 126, "", f"{error.message}\n")
        if isinstance(error, errors.Refused | errors.Overloaded):
            raise SandboxUnavailableError(str(error)) from error
        raise self._gone(str(error)) from error

    def _result(self, result: Result, timeout: int | None) -> ExecResult[str]:
        match result.status:
            case "timed_out":
                raise SandboxTimeoutError(f"the command took longer than {timeout} s", result.stdout)
            case "cancelled" | "denied":
                raise self._gone("it ended while a command ran in it")
            case "out_of_memory" | "limit_exceeded":
                what = "memory" if result.status == "out_of_memory" else result.ended.limit
                said = f"{result.stderr}crucible: the sandbox's limit of {what} was reached\n"
                return ExecResult(False, result.returncode, result.stdout, said)
            case _:
                return ExecResult(result.returncode == 0, result.returncode, result.stdout, result.stderr)

    @override
    async def write_file(self, file: str, contents: str | bytes) -> None:
        """As Inspect says."""
        try:
            await self.sandbox.write_file(self._path(file), contents)
        except (errors.Refused, errors.InvalidInput) as error:
            if _DENIED in error.message:
                raise PermissionError(errno.EACCES, error.message, file) from error
            data = contents.encode() if isinstance(contents, str) else contents
            path = self._path(file)
            result = await self._by_itself(_WRITE, file, error, path, posixpath.dirname(path), input=data)
            if result.returncode == _FULL:
                raise OSError(errno.ENOSPC, f"{error.message}: {result.stderr.strip()}", file) from error
        except (errors.ApiError, errors.ConnectionFailed) as error:
            raise self._gone(str(error)) from error

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    @override
    async def read_file(self, file: str, text: bool = True) -> str | bytes:
        """As Inspect says."""
        data = await self._bytes(file)
        return data.decode() if text else data

    async def _bytes(self, file: str) -> bytes:
        limit, limit_text = SandboxEnvironmentLimits.MAX_READ_FILE_SIZE, SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR
        path = self._path(file)
        try:
            return await self.sandbox.read_file(path, max_bytes=limit)
        except errors.FileTooLarge as error:
            raise OutputLimitExceededError(limit_text, None) from error
        except IsADirectoryError as error:
            raise IsADirectoryError(errno.EISDIR, "it is a directory", file) from error
        except errors.NotFound as error:
            if error.operation == "find the sandbox" or error.operation == "use the sandbox":
                raise self._gone(str(error)) from error
            raise FileNotFoundError(errno.ENOENT, error.message, file) from error
        except (errors.Refused, errors.InvalidInput) as error:
            if _DENIED in error.message:
                raise PermissionError(errno.EACCES, error.message, file) from error
            try:
                result = await self._by_itself(_READ, file, error, path, output_limit=limit)
            except errors.OutputLimitExceeded as over:
                raise OutputLimitExceededError(limit_text, None) from over
            if not result.ok:
                raise PermissionError(errno.EACCES, error.message, file) from error
            return result.stdout_bytes
        except (errors.ApiError, errors.ConnectionFailed) as error:
            raise self._gone(str(error)) from error

    async def _by_itself(
        self,
        script: str,
        file: str,
        refusal: errors.ApiError,
        *args: str,
        input: bytes | None = None,
        output_limit: int | None = None,
    ) -> Result:
        """Has the sandbox's own shell do what the service refused, and says what Inspect calls that which it couldn't."""
        forbidden = PermissionError(errno.EACCES, refusal.message, file)
        if any("\0" in arg for arg in args):
            raise ValueError("embedded null byte")
        try:
            result = await self.sandbox.exec(["/bin/sh", "-c", script, "sh", *args], input=input, output_limit=output_limit)
        except (errors.Refused, errors.InvalidInput) as error:
            raise forbidden from error
        except errors.NotFound as error:
            if error.operation == "start the command":
                raise forbidden from error
            raise self._gone(str(error)) from error
        except (errors.ApiError, errors.ConnectionFailed) as error:
            raise self._gone(str(error)) from error
        match result.returncode:
            case code if code == _DIRECTORY:
                raise IsADirectoryError(errno.EISDIR, "it is a directory", file) from refusal
            case code if code == _MISSING:
                raise FileNotFoundError(errno.ENOENT, "there is no such file", file) from refusal
            case code if code == _FORBIDDEN:
                raise forbidden from refusal
        return result

    def _path(self, path: str) -> str:
        return posixpath.join(self._service.working_dir, path)

    def _gone(self, why: str) -> SandboxLostError:
        self._lost = self._lost or why
        return SandboxLostError(f"the sandbox {self.sandbox.id} is lost: {why}")

    # ---- what the host saw --------------------------------------------------------------------------------------------

    async def record(self) -> models.SandboxRecord:
        """What the host saw of it until now: validity, behaviour, tripwires, evidence.

        Raises:
            SandboxLostError: nothing is known of it any more.
        """
        try:
            return await self.sandbox.record()
        except (errors.ApiError, errors.ConnectionFailed) as error:
            raise self._gone(str(error)) from error

    # ---- for people ---------------------------------------------------------------------------------------------------

    @override
    async def connection(self, *, user: str | None = None) -> SandboxConnection:
        """A terminal in it."""
        try:
            await self.sandbox.refresh()
        except (errors.ApiError, errors.ConnectionFailed) as error:
            raise ConnectionError(str(error)) from error
        if "terminals" not in self.sandbox.document.features:
            raise NotImplementedError(f"the backend {self.sandbox.document.backend} has no terminals")
        command = ["crucible-shell", "--server", self.sandbox.url, self.sandbox.id]
        command += ["--user", user] if (user := self._user(user)) else []
        return SandboxConnection(type="crucible", command=shlex.join(command))

    def default_polling_interval(self) -> float:
        """Seconds; a sandbox is near."""
        return 0.2

    # ---- life ---------------------------------------------------------------------------------------------------------

    @classmethod
    def default_concurrency(cls) -> int | None:
        """Fewer than a service keeps open at one time."""
        return 200

    @classmethod
    def config_files(cls) -> list[str]:
        """Our own, then compose files."""
        return [*CONFIG_FILES, *COMPOSE_FILES]

    @classmethod
    def is_docker_compatible(cls) -> bool:
        """Compose files are translated, as far as they can be."""
        return True

    @classmethod
    def config_deserialize(cls, config: dict[str, Any]) -> BaseModel:
        """A configuration out of a log."""
        return CrucibleSandboxConfig.model_validate(config)

    @classmethod
    async def task_init(cls, task_name: str, config: SandboxEnvironmentConfigType | None) -> None:
        """Finds out whether the service is there, before any sample is begun."""
        wanted = load(config)
        servers.begin_task()
        try:
            client = await servers.client(wanted.url)
            await client.me()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await servers.end_task()
            raise

    @classmethod
    async def sample_init(
        cls, task_name: str, config: SandboxEnvironmentConfigType | None, metadata: dict[str, str]
    ) -> dict[str, SandboxEnvironment]:
        """Makes the sandboxes of a sample beside each other."""
        wanted = load(config)
        client = await servers.client(wanted.url)
        made: dict[str, SandboxEnvironment] = {}

        async def make(name: str, service: SandboxService) -> None:
            sandbox = await _create(client, service)
            made[name] = cls(sandbox, service)
            _note(sandbox)
            if service.working_dir not in ("/work", "/tmp"):
                await sandbox.exec(["mkdir", "-p", service.working_dir])

        try:
            async with anyio.create_task_group() as group:
                for name, service in wanted.named().items():
                    group.start_soon(make, name, service)
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                for environment in made.values():
                    await _remove(environment.as_type(cls).sandbox)
            # What one of them failed with says more than that some did.
            failures: tuple[Exception, ...] = getattr(error, "exceptions", ())
            if len(failures) == 1:
                raise failures[0] from None
            raise
        return {name: made[name] for name in wanted.named()}

    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        environments: dict[str, SandboxEnvironment],
        interrupted: bool,
    ) -> None:
        """Removes the sandboxes, and leaves what the host saw of them in the sample's store.

        Raises:
            SandboxLostError: one of them had ended by itself, so that the sample's score says nothing.
        """
        records: dict[str, Any] = {}
        lost: list[str] = []
        for name, environment in environments.items():
            ours = environment.as_type(cls)
            try:
                await _remove(ours.sandbox)
                record = await ours.sandbox.record()
                records[name] = record.model_dump(mode="json")
                if record.ended != ASKED or record.validity == "infrastructure_failure":
                    lost.append(f"{name}: {record.ended}")
            except errors.CrucibleError as error:
                lost.append(f"{name}: {error}")
            if ours._lost and not lost:
                lost.append(f"{name}: {ours._lost}")
        store().set(STORE_KEY, records)
        if lost and not interrupted:
            raise SandboxLostError(f"a sandbox was lost before its sample was over: {'; '.join(lost)}")

    @classmethod
    async def task_cleanup(cls, task_name: str, config: SandboxEnvironmentConfigType | None, cleanup: bool) -> None:
        """Ends what was begun for the task."""
        if not cleanup:
            kept = sorted(path.stem for path in _notes().glob("*.json"))
            if kept:
                print(f"\ncrucible sandboxes that are left: {' '.join(kept)}\nremove them: inspect sandbox cleanup crucible\n")
            client = await servers.client(load(config).url)
            if servers.is_own(client.url):
                logger.warning("the sandboxes of a service that was started for the run end with it; name a server to keep them")
        await servers.end_task()

    @classmethod
    async def cli_cleanup(cls, id: str | None) -> None:
        """Removes the sandbox of that id, or all that samples of this user's left."""
        for path in sorted(_notes().glob("*.json")):
            note = json.loads(path.read_text())
            if id is not None and note["id"] != id:
                continue
            client = await servers.client(note["url"])
            try:
                await _remove(await client.attach(note["id"]))
                print(f"removed {note['id']}")
            except (errors.NotFound, errors.ConnectionFailed) as error:
                print(f"{note['id']} is no more: {error}")
            path.unlink(missing_ok=True)
        await servers.end_task()


ROOTS_POLICY = "inspect"
"""The policy with root inside, which Inspect's tools take for granted."""


async def _create(client: AsyncClient, service: SandboxService) -> AsyncSandbox:
    """A sandbox with root inside, where nothing else is said: neither by the task, nor by whoever set the service's policy."""

    async def create(policy: str | None) -> AsyncSandbox:
        return await client.sandbox(
            backend=service.backend,
            language=service.language,
            policy=policy,
            network=service.network,
            limits=service.all_limits(),
            env=service.env,
            tripwires=service.tripwires,
            idle_timeout=service.idle_timeout,
            lifetime=service.lifetime,
        )

    policies = [] if service.policy else await client.policies()
    in_force = {policy.name for policy in policies if policy.in_force}
    if in_force != {"default"} or ROOTS_POLICY not in {policy.name for policy in policies}:
        return await create(service.policy)
    try:
        return await create(ROOTS_POLICY)
    except errors.Refused as error:
        if error.operation != "check the policy against the backend":
            raise
        logger.info("%s; sandboxes have one user", error.message)
        return await create(None)


ASKED = "it was removed"
"""What the service says of a sandbox that nothing happened to."""


@asynccontextmanager
async def _place(wanted: bool) -> AsyncIterator[None]:
    if wanted:
        async with concurrency("crucible commands", AT_ONCE, visible=False):
            yield
    else:
        yield


# Which sandboxes of this user's there are, for whoever cleans up after a run that was killed.


def _notes() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(state) / "crucible-inspect"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _note(sandbox: AsyncSandbox) -> None:
    (_notes() / f"{sandbox.id}.json").write_text(json.dumps({"id": sandbox.id, "url": sandbox.url}))


async def _remove(sandbox: AsyncSandbox) -> None:
    await sandbox.close()
    (_notes() / f"{sandbox.id}.json").unlink(missing_ok=True)
