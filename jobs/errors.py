"""The service's branches of the error tree in `pruning/errors.py`.

PruningError
├── NotFoundError                  no such model, dataset, job or artifact
├── ConflictError                  the request does not go with the state of things
├── UploadTooLargeError            more bytes than the operator allows
├── SettingError                   an environment variable that is not what its setting can be
├── StoreUnavailableError          Redis cannot be reached or is full
├── LeaseLostError                 the job is no longer held by this claim: stop, commit nothing
├── ModelError
│   └── UnsupportedModelFileError      neither .keras nor .h5
└── DataError
    └── UnsupportedDatasetFileError    neither .npz nor a zip of images
"""

from __future__ import annotations

from pruning.errors import DataError, ModelError, PruningError


class NotFoundError(PruningError):
    code = "not-found"


class ConflictError(PruningError):
    code = "conflict"


class UploadTooLargeError(PruningError):
    code = "upload-too-large"


class SettingError(PruningError):
    code = "invalid-setting"


class StoreUnavailableError(PruningError):
    code = "service-unavailable"


class LeaseLostError(PruningError):
    code = "lease-lost"


class UnsupportedModelFileError(ModelError):
    code = "unsupported-file"


class UnsupportedDatasetFileError(DataError):
    code = "unsupported-file"


def problem_type(code: str) -> str:
    """Return the `type` member of a problem (RFC 9457) for an error code."""
    return f"/problems/{code}"


def problem_title(code: str) -> str:
    """Return the `title` member of a problem (RFC 9457) for an error code."""
    return code.replace("-", " ").capitalize()
