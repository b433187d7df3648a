"""What a task says of its sandboxes: in Python, in `crucible.yaml`, or in a compose file as far as that can be translated.

Invariant: what can't be had is refused with its name. Nothing that a compose file asks for is left out in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from inspect_ai.util import ComposeConfig, ComposeService, is_compose_yaml, parse_compose_yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

CONFIG_FILES = ["crucible.yaml", "crucible.yml"]

DEFAULT_LIMITS: dict[str, Any] = {
    "memory": "1GiB",
    "disk": "512MiB",
    "file_size": "512MiB",
    "inodes": 65536,
    "open_files": 1024,
    "pids": 256,
    "cpu_time": "10m",
}
"""Limits where nothing else is said: room for Inspect's own tools, and for commands of agents."""


class SandboxService(BaseModel):
    """One sandbox of a sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: str | None = None
    """A backend's name, or `auto`."""
    language: str | None = None
    """Whose interpreter it is to have. Without one it has the ordinary programs, which Inspect's tools need."""
    policy: str | None = None
    """A policy's name. Without one `inspect`, with root inside, where the backend has that and the service's own is `default`."""
    network: str | None = None
    """`none`, or `allow:HOST:PORT,...` for a proxy to these alone. Without it, the policy's."""
    limits: dict[str, Any] = Field(default_factory=dict)
    """Limits that differ from the usual ones: `{"memory": "2GiB", "pids": 512}`."""
    env: dict[str, str] = Field(default_factory=dict)
    """Variables of every command."""
    tripwires: tuple[str, ...] = ()
    """What to plant that an honest guest leaves alone: `file=.private/answers.txt`, `credentials`."""
    working_dir: str = "/work"
    """Where commands start, and relative paths lie: `/work`, or a folder below it or below `/tmp`."""
    lifetime: float = 6 * 3600
    """Seconds that it may live."""
    idle_timeout: float = 6 * 3600
    """Seconds that it may lie idle, such as while a model thinks."""

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    def all_limits(self) -> dict[str, Any]:
        """The limits, with the usual ones."""
        return {**DEFAULT_LIMITS, **self.limits}


class CrucibleSandboxConfig(SandboxService):
    """The sandboxes of a sample: one, or those in `services`, of which the first is the default."""

    url: str | None = None
    """The service; without it CRUCIBLE_CLIENT_SERVER, or one that is started for the run."""
    services: dict[str, SandboxService] = Field(default_factory=dict)
    """More than one sandbox, by their names."""

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    def named(self) -> dict[str, SandboxService]:
        """Every sandbox by its name."""
        return self.services or {"default": self}


class ConfigError(ValueError):
    """What is asked for can't be had. The message says what, and where."""


def load(config: BaseModel | str | None) -> CrucibleSandboxConfig:
    """What a task asks for.

    Raises:
        ConfigError: it can't be had, or understood.
    """
    match config:
        case None:
            return CrucibleSandboxConfig()
        case CrucibleSandboxConfig():
            return _checked(config)
        case ComposeConfig():
            return _checked(from_compose(config))
        case str() if is_compose_yaml(config):
            return _checked(from_compose(parse_compose_yaml(config)))
        case str() if Path(config).suffix in (".yaml", ".yml"):
            return _checked(_from_file(Path(config)))
        case str():
            raise ConfigError(f"{config}: a crucible sandbox takes a .yaml file or a compose file; it builds no images")
        case _:
            raise ConfigError(f"a crucible sandbox isn't configured by {type(config).__name__}")


def _from_file(path: Path) -> CrucibleSandboxConfig:
    try:
        return CrucibleSandboxConfig.model_validate(yaml.safe_load(path.read_text()) or {})
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _checked(config: CrucibleSandboxConfig) -> CrucibleSandboxConfig:
    for name, service in config.named().items():
        if service.network is not None and not re.match(r"^(none|allow:[^,\s]+(,[^,\s]+)*)$", service.network):
            raise ConfigError(f"{name}: network {service.network!r} is neither none nor allow:HOST:PORT,...")
        if not re.match(r"^/(work|tmp)(/[^/\0]+)*$", service.working_dir) or ".." in service.working_dir.split("/"):
            raise ConfigError(f"{name}: working_dir {service.working_dir!r} is neither below /work nor below /tmp")
    return config


# ---- compose files ----------------------------------------------------------------------------------------------------

# What changes nothing about a sandbox in which commands are run from outside.
_WITHOUT_EFFECT = {"init", "stop_grace_period", "stdin_open", "tty", "pull_policy", "restart", "expose", "memswap_limit"}
_IDLE = re.compile(r"^(tail -f /dev/null|sleep (infinity|\d+))$")
_TRANSLATED = {"environment", "working_dir", "mem_limit", "cpus", "pids_limit", "shm_size", "ulimits", "deploy", "network_mode"}
_ULIMITS = {"nofile": "open_files", "fsize": "file_size", "stack": "stack", "cpu": "cpu_time", "nproc": "pids"}


def from_compose(compose: ComposeConfig) -> CrucibleSandboxConfig:
    """A compose file's services as sandboxes.

    `x-crucible` at the top or in a service has further settings, those of `CrucibleSandboxConfig`, and `ignore`: a list of keys
    that the author knows to have no effect here, such as `image`.

    Raises:
        ConfigError: a service asks for what can't be had, and doesn't ignore it.
    """
    top = _extension(compose.extensions, "the compose file")
    ignored = set(top.pop("ignore", ()))
    services: dict[str, SandboxService] = {}
    url = top.pop("url", None)
    refused: list[str] = []
    for name, service in compose.services.items():
        own = _extension(service.extensions, name)
        translated, untranslated = _translate(service, ignored | set(own.pop("ignore", ())))
        refused += [f"{name}.{key}" for key in untranslated]
        limits = {**translated.pop("limits", {}), **top.get("limits", {}), **own.pop("limits", {})}
        try:
            services[name] = SandboxService.model_validate({**translated, **top, **own, "limits": limits})
        except ValidationError as error:
            raise ConfigError(f"{name}: {error}") from error
    if refused:
        raise ConfigError(
            f"a crucible sandbox has no {', '.join(refused)}: leave them out, or list them in x-crucible.ignore "
            "where the task doesn't need them"
        )
    first = sorted(services, key=lambda name: (not compose.services[name].x_default, name != "default"))
    return CrucibleSandboxConfig(url=url, services={name: services[name] for name in first})


def _extension(extensions: Mapping[str, Any], where: str) -> dict[str, Any]:
    found = extensions.get("x-crucible") or {}
    if not isinstance(found, dict):
        raise ConfigError(f"{where}: x-crucible isn't a mapping")
    return dict(found)


def _translate(service: ComposeService, ignored: set[str]) -> tuple[dict[str, Any], list[str]]:
    given = {key: value for key, value in service if value is not None and key in type(service).model_fields}
    given.pop("x_default", None)
    limits: dict[str, Any] = {}
    settings: dict[str, Any] = {"limits": limits}
    refused: list[str] = []
    # What `deploy` says goes before the short forms of it.
    for key, value in sorted(given.items(), key=lambda item: item[0] == "deploy"):
        if key in ignored or key in _WITHOUT_EFFECT:
            continue
        if key == "command" and _IDLE.match(value if isinstance(value, str) else " ".join(value)):
            continue
        if key not in _TRANSLATED:
            refused.append(key)
        elif key == "environment":
            settings["env"] = _environment(value, refused)
        elif key == "working_dir":
            settings["working_dir"] = value
        elif key == "network_mode":
            if value == "none":
                settings["network"] = value
            else:
                refused.append(f"network_mode={value}")
        elif key == "mem_limit":
            limits["memory"] = _bytes(value)
        elif key == "cpus":
            limits["cpus"] = str(value)
        elif key == "pids_limit":
            if int(value) > 0:
                limits["pids"] = int(value)
        elif key == "shm_size":
            # /dev/shm is a part of the one disk limit.
            limits["disk"] = _bytes(value)
        elif key == "ulimits":
            for name, bound in value.items():
                soft = bound["soft"] if isinstance(bound, dict) else bound
                if name in _ULIMITS and int(soft) >= 0:
                    limits[_ULIMITS[name]] = f"{soft}s" if name == "cpu" else int(soft)
                elif name not in _ULIMITS:
                    refused.append(f"ulimits.{name}")
        elif key == "deploy":
            resources = value.resources
            bounds = resources.limits if resources else None
            if bounds and bounds.memory:
                limits["memory"] = _bytes(bounds.memory)
            if bounds and bounds.cpus:
                limits["cpus"] = bounds.cpus
            if resources and resources.reservations and resources.reservations.devices:
                refused.append("deploy.resources.reservations.devices")
    return settings, refused


def _environment(value: list[str] | dict[str, str | None], refused: list[str]) -> dict[str, str]:
    pairs = (
        value.items()
        if isinstance(value, dict)
        else [item.partition("=")[::2] if "=" in item else (item, None) for item in value]
    )
    env: dict[str, str] = {}
    for name, text in pairs:
        if text is None:
            # It would be taken from the environment of whoever runs the evaluation.
            refused.append(f"environment.{name} (without a value)")
        else:
            env[name] = str(text)
    return env


_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _bytes(value: str | int) -> int:
    found = re.match(r"^(\d+(?:\.\d+)?)\s*([bkmg]?)b?$", str(value).strip().lower())
    if not found:
        raise ConfigError(f"{value!r} is no size")
    return int(float(found[1]) * _UNITS[found[2]])
