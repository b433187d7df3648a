"""Inspect's own checks of a sandbox, all 44 of them, on any backend that has root inside.

With INSPECT_CHECK_ONE_USER it is told that there is none here, and that the checks which take it are answered so.
"""

import os
from collections.abc import AsyncIterator

import pytest
from inspect_ai.util import SandboxEnvironment, SandboxUserUnsupportedError
from inspect_ai.util._sandbox import self_check
from inspect_ai.util._sandbox.self_check import *  # noqa: F403

from crucible_sandbox import LocalServer
from crucible_sandbox.inspect import CrucibleSandboxConfig, CrucibleSandboxEnvironment


@pytest.fixture
async def sandbox_env(server: LocalServer) -> AsyncIterator[SandboxEnvironment]:
    config = CrucibleSandboxConfig(
        url=server.url,
        backend=os.environ.get("INSPECT_CHECK_BACKEND"),
        policy=os.environ.get("INSPECT_CHECK_POLICY"),
    )
    await CrucibleSandboxEnvironment.task_init("self_check", config)
    environments = await CrucibleSandboxEnvironment.sample_init("self_check", config, {})
    yield environments["default"].as_type(CrucibleSandboxEnvironment)
    await CrucibleSandboxEnvironment.sample_cleanup("self_check", config, environments, False)
    await CrucibleSandboxEnvironment.task_cleanup("self_check", config, True)


if os.environ.get("INSPECT_CHECK_ONE_USER"):
    test_exec_as_user = pytest.mark.xfail(strict=True, raises=SandboxUserUnsupportedError)(self_check.test_exec_as_user)


def test_all_of_them_are_there() -> None:
    assert len(self_check.__all__) == 44
