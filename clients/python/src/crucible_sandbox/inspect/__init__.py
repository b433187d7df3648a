"""Crucible as a sandbox for Inspect AI: `sandbox="crucible"`, and a scorer and a solver that read what the host saw.

Inspect finds the provider by the entry point group `inspect_ai`; nobody has to import this. It wants `inspect-ai` installed:
`pip install crucible-sandbox[inspect]`.
"""

from .config import CrucibleSandboxConfig
from .environment import CrucibleSandboxEnvironment, SandboxLostError
from .records import crucible_behavior, crucible_records, crucible_validity

__all__ = [
    "CrucibleSandboxConfig",
    "CrucibleSandboxEnvironment",
    "SandboxLostError",
    "crucible_behavior",
    "crucible_records",
    "crucible_validity",
]
