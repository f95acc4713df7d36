"""The error tree of the library.

    PruningError                 whatever the library refuses to do, with a reason
    ├── SpecError                a request that cannot be meant: value, pattern, combination
    │   ├── UnknownCriterionError    a criterion that is neither in the catalog nor callable
    │   └── InfeasibleError          targets that this model cannot reach within the other limits
    ├── ModelError               a model file or model that cannot be served
    │   └── NothingToPruneError      a sound model in which no channel may be removed
    ├── DataError                a dataset that does not fit itself or the model
    ├── PlanError                a plan that does not belong to this model
    ├── CriterionError           a criterion that returned something unusable
    ├── TrainingError            training that cannot start or went to NaN
    ├── CheckpointError          a checkpoint of another run, or one that cannot be read
    ├── ExportError              a model that another format cannot hold
    └── VerificationError        the pruned model does not compute what it should: never deliver it

The errors know nothing of HTTP; `api/errors.py` maps them to statuses. Those of the client, in `ridurre/errors.py`,
have the same fields.
"""

from __future__ import annotations

from typing import Any


class ExplainedError(Exception):
    """An error that says what came, what was expected and how to fix it.

    Attributes:
        detail: What went wrong, in a sentence.
        field: Dotted path of the offending input, such as `"pruning.ratio"`, or `None`.
        received: What came, shortened for reading.
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


class PruningError(ExplainedError):
    """Whatever the library refuses to do.

    Attributes:
        code: Stable name of the kind of error, for programs.
    """

    code = "pruning-error"

    _keras_call_info_injected = True  # Keras would raise anew, without its fields, what a model raises in its call.

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
    """Say how near the targets can be reached, and what is in the way.

    Attributes:
        nearest: Field of a target → what is left at the nearest point that can be reached.
        binding: The fields of the spec that are in the way, or `"model"` where its locked channels are.
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
