"""The error tree of the library.

    PruningError                 any error of the library
    ├── SpecError                an invalid request: value, pattern, combination
    │   ├── UnknownCriterionError    a criterion that is not in the catalog and not callable
    │   └── InfeasibleError          targets that the model cannot reach within the other limits
    ├── ModelError               a model file or model that is not supported
    │   └── NothingToPruneError      a valid model without removable channels
    ├── DataError                a dataset that is inconsistent or does not match the model
    ├── PlanError                a plan of another model
    ├── CriterionError           a criterion that failed or returned an invalid result
    ├── TrainingError            training that cannot start or diverged to NaN
    ├── CheckpointError          a checkpoint of another run, or an unreadable one
    ├── ExportError              a model that another format does not support
    └── VerificationError        the outputs of the pruned model are wrong: never deliver it

The errors know nothing of HTTP; `api/errors.py` maps them to statuses. Those of the client, in `ridurre/errors.py`,
have the same fields.
"""

from __future__ import annotations

from typing import Any, Self


class ExplainedError(Exception):
    """An error that says what was received, what was expected and how to fix it.

    Attributes:
        detail: What went wrong, in a sentence.
        field: Dotted path of the offending input, such as `"pruning.ratio"`, or `None`.
        received: What was received, shortened for display.
        expected: What would have been accepted.
        hint: How to fix it.
    """

    def __init__(
        self,
        detail: str,
        *,
        field: str | None = None,
        received: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.received = received
        self.expected = expected
        self.hint = hint

    @classmethod
    def like(cls, error: ExplainedError) -> Self:
        """Return an error of this class that says what another one says."""
        return cls(error.detail, field=error.field, received=error.received, expected=error.expected, hint=error.hint)


class PruningError(ExplainedError):
    """Base class of all errors of the library.

    Attributes:
        code: Stable name of the kind of error, for programs.
    """

    code = "pruning-error"

    _keras_call_info_injected = True  # Otherwise, Keras raises errors in a model's call again without their fields.

    def as_dict(self) -> dict[str, Any]:
        """Return the error as JSON-ready fields; absent ones are left out."""
        fields = {
            "code": self.code,
            "detail": self.detail,
            "field": self.field,
            "received": self.received,
            "expected": self.expected,
            "hint": self.hint,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def __str__(self) -> str:
        parts = [self.detail]
        if self.received is not None:
            parts.append(f"Received: {self.received}.")
        if self.expected is not None:
            parts.append(f"Expected: {self.expected}.")
        if self.hint is not None:
            parts.append(self.hint)
        return " ".join(parts)


class SpecError(PruningError):
    code = "invalid-spec"


class UnknownCriterionError(SpecError):
    code = "unknown-criterion"


class InfeasibleError(SpecError):
    """Targets that the model cannot reach, with the closest reachable size and the limiting options.

    Attributes:
        nearest: Field of a target → its value at the closest reachable size.
        binding: The limiting fields of the spec, or `"model"` for its locked channels.
    """

    code = "infeasible"

    def __init__(self, detail: str, *, nearest: dict[str, float], binding: tuple[str, ...], **details: str) -> None:
        super().__init__(detail, **details)
        self.nearest = nearest
        self.binding = binding


class ModelError(PruningError):
    code = "unusable-model"


class NothingToPruneError(ModelError):
    code = "nothing-to-prune"


class DataError(PruningError):
    code = "unusable-dataset"


class PlanError(PruningError):
    code = "plan-mismatch"


class CriterionError(PruningError):
    code = "criterion-failed"


class TrainingError(PruningError):
    code = "training-failed"


class CheckpointError(PruningError):
    code = "unusable-checkpoint"


class ExportError(PruningError):
    code = "export-failed"


class VerificationError(PruningError):
    code = "verification-failed"


def first_line(error: Exception, max_length: int = 300) -> str:
    """Return the first line of a foreign error's message, or its class; Keras's often hold the whole config."""
    lines = str(error).strip().splitlines()
    return lines[0][:max_length] if lines else type(error).__name__
