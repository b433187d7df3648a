"""What can go wrong, as exceptions: the service's problem documents (RFC 9457) by their kind, and what the client itself finds.

A program that fails is no error: its outcome says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .models import Evaluation, ProblemDetail


class CrucibleError(Exception):
    """All errors of this package."""


class ConnectionFailed(CrucibleError):
    """The service couldn't be reached, or the connection broke. The cause has the particulars."""


class ProtocolError(CrucibleError):
    """What was answered isn't what the interface says: it is no Crucible, or one of another version."""


class BinaryNotFound(CrucibleError):
    """There is no `crucible` to start here."""


class LocalServerError(CrucibleError):
    """The local service didn't start. The message has what it said."""


class EvaluationFailed(CrucibleError):
    """An evaluation came to its end without an outcome: Crucible failed at it, it was cancelled, or it is held for review."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        """The evaluation as it is kept."""
        failure = f": {evaluation.failure.message}" if evaluation.failure else ""
        super().__init__(f"evaluation {evaluation.id} is {evaluation.state}{failure}")


class OutputLimitExceeded(CrucibleError):
    """A command wrote more to a stream than its caller wanted to keep. It was ended for that."""

    def __init__(self, limit: int, stdout: bytes, stderr: bytes) -> None:
        self.limit = limit
        """The most bytes of a stream."""
        self.stdout = stdout
        """What had come of standard output, at most `limit` bytes."""
        self.stderr = stderr
        """What had come of standard error, at most `limit` bytes."""
        super().__init__(f"the command wrote more than {limit} bytes to a stream")


class FileTooLarge(CrucibleError):
    """A file has more bytes than its reader wanted to take."""


class ApiError(CrucibleError):
    """The service answered with a problem document."""

    def __init__(self, problem: ProblemDetail, status: int | None = None, request_id: str | None = None) -> None:
        self.kind = problem.kind
        """What kind of failure, such as `invalid_input`."""
        self.message = problem.message
        """What went wrong, in one sentence."""
        self.operation = problem.operation
        """What was being done."""
        self.hint = problem.hint
        """What one can do about it, where there is something."""
        self.retryable = problem.retryable
        """Whether the same request may succeed later without anyone changing anything."""
        self.status = status
        """The HTTP status; `None` where it came in the middle of a stream."""
        self.request_id = request_id
        """By which the service's log names the request."""
        super().__init__(f"{problem.message} (hint: {problem.hint})" if problem.hint else problem.message)


class InvalidInput(ApiError):
    """The request is wrong (400, and 413 for one that is too large)."""


class NotFound(ApiError):
    """Something named isn't there (404)."""


class Refused(ApiError):
    """It is not allowed, or can't be done there (403)."""


class Held(ApiError):
    """It is held for review (409)."""


class Conflict(ApiError):
    """It contradicts what is there (409)."""


class Unauthenticated(ApiError):
    """It isn't known who asks (401)."""


class Overloaded(ApiError):
    """There is too much to do (429)."""


class Unavailable(ApiError):
    """That machine can't do it, at least now (503)."""


class InfrastructureFailure(ApiError):
    """Crucible itself failed (500)."""


_BY_KIND: dict[str, type[ApiError]] = {
    "invalid_input": InvalidInput,
    "not_found": NotFound,
    "refused": Refused,
    "held": Held,
    "conflict": Conflict,
    "unauthenticated": Unauthenticated,
    "overloaded": Overloaded,
    "unavailable": Unavailable,
    "infrastructure": InfrastructureFailure,
}


def api_error(problem: ProblemDetail, status: int | None = None, request_id: str | None = None) -> ApiError:
    """The exception for a problem; `ApiError` itself for a kind that isn't known here."""
    return _BY_KIND.get(problem.kind, ApiError)(problem, status, request_id)
