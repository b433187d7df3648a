"""Inspect's own checks of a sandbox, all 44 of them. One can't pass yet: sandboxes have one user, who isn't root."""

import os
from collections.abc import AsyncIterator

import pytest
from inspect_ai.util import SandboxEnvironment, SandboxUserUnsupportedError
from inspect_ai.util._sandbox import self_check
from inspect_ai.util._sandbox.self_check import *  # noqa: F403

from crucible_sandbox import LocalServer
from crucible_sandbox.inspect import CrucibleSandboxConfig, CrucibleSandboxEnvironment

NOT_YET = {"test_exec_as_user": "a sandbox has one user, who isn't root, so that adduser can't be run in it"}
"""Strict: a check that passes after all is a failure here."""


@pytest.fixture
async def sandbox_env(server: LocalServer, request: pytest.FixtureRequest) -> AsyncIterator[SandboxEnvironment]:
    if reason := NOT_YET.get(request.node.originalname):
        request.node.add_marker(pytest.mark.xfail(reason=reason, raises=SandboxUserUnsupportedError, strict=True))
    config = CrucibleSandboxConfig(
        url=server.url,
        backend=os.environ.get("INSPECT_CHECK_BACKEND"),
        policy=os.environ.get("INSPECT_CHECK_POLICY"),
    )
    await CrucibleSandboxEnvironment.task_init("self_check", config)
    environments = await CrucibleSandboxEnvironment.sample_init("self_check", config, {})
    yield environments["default"]
    await CrucibleSandboxEnvironment.sample_cleanup("self_check", config, environments, False)
    await CrucibleSandboxEnvironment.task_cleanup("self_check", config, True)


def test_all_of_them_are_there() -> None:
    assert len(self_check.__all__) == 44
