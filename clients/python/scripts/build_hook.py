"""Puts the binary that CRUCIBLE_WHEEL_BINARY names into the wheel, which is then one for this platform."""

import os
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BinaryHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        named = os.environ.get("CRUCIBLE_WHEEL_BINARY")
        if not named:
            return
        binary = Path(named).resolve()
        if not binary.is_file() or not os.access(binary, os.X_OK):
            raise ValueError(f"CRUCIBLE_WHEEL_BINARY names no program: {named}")
        build_data["force_include"][str(binary)] = "crucible_sandbox/bin/crucible"
        # What runs WebAssembly, where it was built beside it.
        worker = binary.with_name("crucible-wasm-worker")
        if worker.is_file():
            build_data["force_include"][str(worker)] = "crucible_sandbox/bin/crucible-wasm-worker"
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
