"""The report of a prune: every step measured, every layer before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pruning.figures import of_validation
from pruning.plan import LayerPlan
from pruning.spec import BaselineMethod, PruningSpec, Runtime, TrainingSpec

Step = Literal["initial", "training", "pruning", "fine-tuning", "restoring", "post-training"]


RepairKind = Literal["cut", "statistics", "reconstruction"]


class Repair(BaseModel):
    """What was done to a model right after a prune, before any training."""

    model_config = ConfigDict(frozen=True)

    kept: RepairKind = Field(
        description="cut: nothing; statistics: those of BatchNormalization measured anew; reconstruction: layers that "
        "read removed channels solved anew by least squares."
    )
    errors: dict[RepairKind, float] = Field(
        description="Error with each that was tried, on samples on which nothing was measured: the loss, or without "
        "targets the squared difference of the outputs to the original's over their variance."
    )
    num_layers: int = Field(default=0, description="Kernels that were solved anew.")


class CallTime(BaseModel):
    """How long one call of a model takes on the machine that pruned it."""

    model_config = ConfigDict(frozen=True)

    median_seconds: float = Field(description="Median of the timed calls.")
    first_quartile_seconds: float = Field(description="A quarter of the calls took less.")
    third_quartile_seconds: float = Field(description="A quarter of the calls took more.")
    num_calls: int = Field(description="Calls that were timed.")
    batch_size: int = Field(description="Samples in one call.")


class StepReport(BaseModel):
    """The model after one step."""

    model_config = ConfigDict(frozen=True)

    step: Step
    trial: str = Field(default="", description="Which trial made it; empty where there is just one.")
    iteration: int | None = None
    params: int
    macs: int | None = Field(description="Multiply-accumulates for one sample; FLOPs are twice as many.")
    file_bytes: int = Field(description="Size as a .keras file without optimizer state.")
    latency: dict[Runtime, CallTime] = Field(
        default={},
        description="Of the original, in the first row, and of the delivered model, in the last and the restoring one: "
        "one call in Keras and in each runtime that the spec names, the two timed in turns.",
    )
    target_latency_seconds: float | None = Field(
        default=None,
        description="Where the spec has target_latency, what is compared with it: the median of one call as the target "
        "has it; for a share, reckoned to the speed that the machine had when the original was first timed.",
    )
    metrics: dict[str, float] = Field(
        description="Loss and metrics on the validation set, `val_loss` and so on; empty without data."
    )
    seconds: float = Field(description="Time that the step took.")
    max_relative_difference: float | None = Field(
        default=None, description="Of a prune: the proof's largest difference to the masked original."
    )
    repair: Repair | None = Field(default=None, description="Of a prune with data: what was done before any training.")
    layers: tuple[LayerPlan, ...] = Field(default=(), description="Of a prune: every layer before and after it.")


class Candidate(BaseModel):
    """A model that could be delivered: what comes of an iteration with its fine-tuning, or of post-training."""

    model_config = ConfigDict(frozen=True)

    name: str
    trial: str = Field(default="", description="Which trial made it; empty where there is just one.")
    criterion: str
    iteration: int
    came_from: str | None = Field(default=None, description="Of a post-trained one: the candidate that was trained.")
    baseline: BaselineMethod | None = Field(
        default=None, description="Of one that is made to be compared with, and never delivered: how it was made."
    )
    params: int
    macs: int | None = Field(description="Multiply-accumulates for one sample.")
    file_bytes: int = Field(description="Size as a .keras file without optimizer state.")
    metrics: dict[str, float] = Field(description="Loss and metrics on the validation set; empty without data.")
    drop: float | None = Field(
        default=None,
        description="How much worse the watched metric is than before pruning, below 0 if better; without data null.",
    )
    meets_limits: bool = Field(description="Whether it is within all targets and max_metric_drop.")


class Compared(BaseModel):
    """A baseline over all its seeds."""

    model_config = ConfigDict(frozen=True)

    method: BaselineMethod
    metric: str
    mean: float
    std: float = Field(description="Sample standard deviation; 0 for one seed.")
    values: tuple[float, ...]


class TestMetrics(BaseModel):
    """Loss and metrics on the test set, measured once, when all is decided."""

    __test__ = False  # Not a class of tests.
    model_config = ConfigDict(frozen=True)

    before: dict[str, float] = Field(description="Of the model as it came.")
    after: dict[str, float] = Field(description="Of the delivered model.")
    num_samples: int


class PruningReport(BaseModel):
    """What was asked, what was done and what came of it."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[2] = Field(default=2, description="Version 1 is read, see `as_version_2`.")
    pruning: PruningSpec
    training: TrainingSpec
    steps: tuple[StepReport, ...]
    layers: tuple[LayerPlan, ...] = Field(description="Every layer before the first and after the last step.")
    stopped_because: str
    goal_met: bool = Field(
        default=True, description="Whether the delivered model is within all targets and max_metric_drop."
    )
    delivered: str | None = Field(default=None, description="Which candidate that is; null where nothing was removed.")
    candidates: tuple[Candidate, ...] = Field(default=(), description="Every model that could be delivered.")
    front: tuple[str, ...] = Field(
        default=(),
        description="Candidates that no other beats in size and metric at once, by name, the smallest first.",
    )
    baselines: tuple[Compared, ...] = Field(
        default=(), description="What was made at the delivered size to compare with, as the spec asks."
    )
    test: TestMetrics | None = Field(default=None, description="Figures of the test set, if the data has one.")
    notes: tuple[str, ...] = Field(description="What was repaired, assumed or converted on the way.")
    num_train_samples: int = 0
    num_validation_samples: int = 0
    versions: dict[str, str] = Field(default={}, description="Of Python, Keras, its backend and this library.")

    @model_validator(mode="before")
    @classmethod
    def _read_version_1(cls, report: Any) -> Any:
        return as_version_2(report) if isinstance(report, Mapping) else report

    @property
    def before(self) -> StepReport:
        """The model as it came."""
        return self.steps[0]

    @property
    def after(self) -> StepReport:
        """The model as it is delivered."""
        return self.steps[-1]


def as_version_2(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report, as JSON has it, in the words of version 2.

    Version 1 gives figures of the validation set the names of those of training, and calls `target_latency_seconds`
    `latency_seconds`.
    """
    if report.get("schema_version") != 1:
        return dict(report)
    return {**report, "schema_version": 2, "steps": [_step_of_version_1(step) for step in report["steps"]]}


def _step_of_version_1(step: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in step.items() if name != "latency_seconds"}
    metrics = of_validation(step.get("metrics") or {})
    return {**kept, "metrics": metrics, "target_latency_seconds": step.get("latency_seconds")}
