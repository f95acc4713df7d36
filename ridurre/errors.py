"""What can go wrong for a user of the client and of the command.

RidurreError
├── ServiceUnreachableError      no response, or an interrupted one
├── ProblemError                 the service rejected a request, with RFC 9457 fields
│   ├── NotFoundError                404
│   ├── ConflictError                409
│   ├── UploadTooLargeError          413
│   ├── UnsupportedFileError         415
│   ├── InvalidSpecError             422  an invalid job spec
│   ├── UnusableModelError           422  a model that is not supported
│   ├── UnusableDatasetError         422
│   └── ServiceUnavailableError      503
├── UnexpectedAnswerError        an invalid response: a proxy, another service
├── JobFailedError               the job ended as `failed`
├── JobCancelledError            the job ended as `cancelled`
├── JobUnfinishedError           the job has no results yet
├── InvalidOptionError           an option that is invalid, or cannot be sent to a service
├── WaitTimeoutError             the job is unfinished after `timeout_seconds`
├── DigestMismatchError          downloaded bytes do not match the announced digest
└── EmbeddedServiceError         the embedded Redis, API or worker cannot start or crashed
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pruning.errors import ExplainedError, SpecError


class RidurreError(ExplainedError):
    """Base class of all errors; prints what was received, what was expected and how to fix it, a line each."""

    def __str__(self) -> str:
        lines = [self.detail]
        for name in ("field", "received", "expected", "hint"):
            value = getattr(self, name)
            if value is not None:
                lines.append(f"  {name}: {value}")
        return "\n".join(lines)


class ServiceUnreachableError(RidurreError):
    """The URL did not respond, or the connection was lost."""


class UnexpectedAnswerError(RidurreError):
    """The response does not follow the contract."""


class WaitTimeoutError(RidurreError):
    """The job is not finished yet; it continues."""


class InvalidOptionError(RidurreError, SpecError):
    """An option that is invalid, or cannot be sent to a service; also a `SpecError` of the library."""


class DigestMismatchError(RidurreError):
    """The downloaded bytes do not match the announced digest; nothing was kept."""


class EmbeddedServiceError(RidurreError):
    """A process of the embedded service cannot start, or crashed."""


class ProblemError(RidurreError):
    """The service rejected a request, with the fields of RFC 9457.

    Attributes:
        status: HTTP status.
        type: Stable name of the kind of problem, such as `"/problems/invalid-spec"`.
        title: The kind of problem for people.
        errors: One mapping of `field`, `received`, `expected`, `detail` each, if several fields are invalid.
    """

    def __init__(self, problem: Mapping[str, Any], *, status: int) -> None:
        super().__init__(
            str(problem.get("detail") or problem.get("title") or f"The service returned status {status}."),
            field=problem.get("field"),
            received=problem.get("received"),
            expected=problem.get("expected"),
            hint=problem.get("hint"),
        )
        self.status = status
        self.type = str(problem.get("type", "about:blank"))
        self.title = str(problem.get("title", ""))
        self.errors: list[Mapping[str, Any]] = list(problem.get("errors") or [])

    @property
    def code(self) -> str:
        """Last part of `type`, such as `"invalid-spec"`."""
        return self.type.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        lines = [f"{self.title}: {super().__str__()}" if self.title else super().__str__()]
        if len(self.errors) > 1:
            lines += [
                f"  - {error.get('field')}: received {error.get('received')}; "
                f"expected {error.get('expected') or error.get('detail')}"
                for error in self.errors
            ]
        return "\n".join(lines)


class NotFoundError(ProblemError):
    pass


class ConflictError(ProblemError):
    pass


class UploadTooLargeError(ProblemError):
    pass


class UnsupportedFileError(ProblemError):
    pass


class InvalidSpecError(ProblemError):
    pass


class UnusableModelError(ProblemError):
    pass


class UnusableDatasetError(ProblemError):
    pass


class ServiceUnavailableError(ProblemError):
    pass


class JobFailedError(RidurreError):
    """The job ended as `failed`.

    Attributes:
        job_id: Which job.
        code: Kind of failure, such as `"training-failed"`.
    """

    def __init__(self, job_id: str, error: Mapping[str, Any]) -> None:
        detail = error.get("detail") or "The service did not return a reason."
        super().__init__(
            f"Job {job_id} failed: {detail}",
            field=error.get("field"),
            received=error.get("received"),
            expected=error.get("expected"),
            hint=error.get("hint"),
        )
        self.job_id = job_id
        self.code = str(error.get("code") or error.get("type", "")).rsplit("/", 1)[-1]


class JobCancelledError(RidurreError):
    """The job ended as `cancelled`."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} was cancelled.")
        self.job_id = job_id


class JobUnfinishedError(RidurreError):
    """The job is waiting or running, and has none of the results that are asked for yet."""

    def __init__(self, job_id: str, status: str) -> None:
        super().__init__(
            f"Job {job_id} has no results yet.",
            received=f"a job that is {status}",
            expected="a job that has succeeded",
            hint=f"To see its progress: ridurre status {job_id}",
        )
        self.job_id = job_id


_BY_CODE: dict[str, type[ProblemError]] = {
    "not-found": NotFoundError,
    "conflict": ConflictError,
    "upload-too-large": UploadTooLargeError,
    "unsupported-file": UnsupportedFileError,
    "invalid-spec": InvalidSpecError,
    "unknown-criterion": InvalidSpecError,
    "unusable-model": UnusableModelError,
    "unusable-dataset": UnusableDatasetError,
    "service-unavailable": ServiceUnavailableError,
}


def problem_error(problem: Mapping[str, Any], *, status: int) -> ProblemError:
    """Return the error for a problem document; a code unknown to this version becomes a `ProblemError`."""
    code = str(problem.get("type", "")).rsplit("/", 1)[-1]
    return _BY_CODE.get(code, ProblemError)(problem, status=status)
