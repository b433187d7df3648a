"""What Inspect registers when it loads this package's entry point."""

from . import CrucibleSandboxEnvironment, crucible_behavior, crucible_validity

__all__ = ["CrucibleSandboxEnvironment", "crucible_behavior", "crucible_validity"]
