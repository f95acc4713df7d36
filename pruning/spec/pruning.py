"""PruningSpec: what to remove, how much of it, and when to stop."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pruning.catalog import AUTO, resolved
from pruning.spec.exploration import Baselines, Search, Sweep
from pruning.spec.values import (
    EXTENT,
    TARGETS,
    CriterionLike,
    Frozen,
    Normalisation,
    Pattern,
    Ratio,
    Runtime,
    ScheduleLike,
    Scope,
    Target,
    Unit,
    chooses_sets,
)

_LIMITED: dict[str, Unit] = {
    "target_macs": "mac",
    "target_latency": "mac",
    "target_params": "param",
    "target_file_bytes": "param",
}
"""Target → the cost of a channel that it limits."""


class WidthRatio(Frozen):
    """A pruning ratio for groups of at least `min_channels` channels."""

    min_channels: int = Field(ge=1)
    ratio: float = Field(ge=0, lt=1, description="0 leaves groups of this width alone.")


class LatencyTarget(Frozen):
    """Maximum latency of one call of the model, on the machine that prunes."""

    share: Ratio | None = Field(default=None, description="Fraction of the original's latency.")
    seconds: float | None = Field(default=None, gt=0, description="Seconds for one call.")
    runtime: Runtime = Field(default="keras", description="Runtime to measure: keras, or that of an export format.")
    batch_size: int = Field(default=1, ge=1, le=65_536, description="Samples in one call.")

    @model_validator(mode="after")
    def _check_one(self) -> LatencyTarget:
        if (self.share is None) == (self.seconds is None):
            raise PydanticCustomError("latency", "Set {expected}.", {"expected": "either share or seconds"})
        return self


class PruningSpec(Frozen):
    """What to remove, how much of it, and when to stop.

    Regular expressions, in RE2 syntax, must match the whole path of a layer. The path of a layer inside a nested
    model is `nested/layer`. All layers that make or scale the channels of a group decide about it: the group is
    excluded if one of them is, included if one of them is, and uses the smallest ratio that one of them has.

    The number of channels to remove from a group is rounded down: a tenth of four channels is none.

    Set at least one of `ratio`, the targets and `max_filters_removed`; or `max_metric_drop` alone, to search for the
    smallest model within it; or the sizes of a `sweep`.

    A target is a maximum: below 1 a fraction of the original, above 100 a count. The result is at most 1 % below
    the binding target, or else no group could be one step wider without exceeding it. If `ratio` is set as well, each
    iteration removes that ratio and the last one stops at the target. Otherwise, the reduction is divided over the
    iterations, evenly or by the schedule. The model must meet all targets.
    """

    criterion: CriterionLike = Field(
        default=AUTO,
        description="How to choose the channels to keep: a name; in the library also a Criterion, its class, or a "
        "function `(weights) -> importance`. auto: coupled_norm for data with targets, reconstruction for data without "
        "targets, l2_norm without data.",
    )
    scope: Scope = Field(
        default="local",
        description="local ranks the channels of each group separately; global ranks the channels of all groups "
        "together, so that less important groups lose more; sensitivity ranks like local, and removes more from "
        "groups that affect the loss on the calibration samples less, measured group by group.",
    )
    normalisation: Normalisation = Field(
        default="mean",
        description="How to normalise the importances of each group for a global ranking: divide by their max, mean, "
        "sum or l2 norm; standard: zero mean and unit deviation; rank: the fraction of the group's channels that are "
        "less important; none.",
    )
    importance_per: Unit | None = Field(
        default=None,
        description="Divide importance (for sensitivity, the increase in loss) by cost: of one channel, or of its "
        "parameters or multiply-accumulates. Default: channel; for sensitivity, what the target limits, or channel "
        "without a target.",
    )
    ratio: Ratio | None = Field(
        default=None,
        description="Fraction of channels to remove per iteration: of each group, or of all unless scope is local.",
    )
    num_iterations: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Maximum number of iterations. Default: 1, or as many as the target needs."
    )
    target_params: Target | None = Field(
        default=None, description="Maximum number of parameters: a fraction of the original, or a count."
    )
    target_macs: Target | None = Field(
        default=None, description="Maximum multiply-accumulates per sample: a fraction of the original, or a count."
    )
    target_file_bytes: Target | None = Field(
        default=None,
        description="Maximum size of the delivered .keras file: a fraction of the original, or bytes. Includes the "
        "optimizer state if the model has one; the report's file_bytes do not.",
    )
    target_latency: Ratio | LatencyTarget | None = Field(
        default=None, description="Maximum latency of one call: a fraction of the original's, or a LatencyTarget."
    )
    runtimes: Annotated[list[Runtime], Field(max_length=5)] = Field(
        default=[],
        description="Runtimes of export formats in which the report times the original and the delivered model, in "
        "addition to Keras and the runtime of target_latency.",
    )
    max_filters_removed: Ratio | None = Field(
        default=None, description="Maximum fraction of all prunable channels to remove."
    )
    max_metric_drop: float | None = Field(
        default=None,
        gt=0,
        description="Maximum drop of the validation metric; the last model within it is delivered. 0.01 is one point "
        "of accuracy.",
    )
    metric: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None,
        description="Metric for max_metric_drop; `accuracy` and `val_accuracy` both mean the validation accuracy. "
        "Default: the first metric, or the loss if there is none.",
    )
    schedule: ScheduleLike = Field(
        default="constant",
        description="How much each iteration removes: constant; linear: decreases evenly; exponential: halves each "
        "time; one_shot: everything in one iteration; in the library also a function "
        "`(iteration from 1, num_iterations) -> factor`.",
    )
    include: list[Pattern] = Field(
        default=[], description="Prune only groups with a layer that matches one of these patterns."
    )
    exclude: list[Pattern] = Field(
        default=[], description="Do not prune groups with a layer that matches one of these patterns."
    )
    freeze: list[Pattern] = Field(
        default=[],
        description="Do not train layers that match one of these patterns, nor remove channels that they make or "
        "scale. Channels that they only read can be removed.",
    )
    ratios: dict[Pattern, Ratio] = Field(
        default={},
        description="Ratio by layer pattern; overrides `ratio` and `ratios_by_width`. A maximum unless scope is local.",
    )
    ratios_by_width: list[WidthRatio] = Field(
        default=[], description="Ratio by number of channels: uses the row with the largest `min_channels` that fits."
    )
    min_channels: int = Field(default=1, ge=1, description="Minimum number of channels to keep in a group.")
    calibration_samples: int = Field(
        default=1024, ge=1, description="Number of random training samples for criteria that need data."
    )
    reconstruction: bool = Field(
        default=True,
        description="After each prune and before training, solve the layers that read removed channels again by least "
        "squares, if that is better on held-out samples. Needs data.",
    )
    min_channels_by_layer: dict[Pattern, Annotated[int, Field(ge=1)]] = Field(
        default={}, description="`min_channels` by layer pattern; the largest match counts."
    )
    max_ratio: Ratio | None = Field(
        default=None, description="Maximum fraction of a group's channels to remove, over all iterations."
    )
    round_to: int = Field(
        default=1,
        ge=1,
        le=4096,
        description="Round the channels to keep up to a multiple of this, such as 8 for fast kernels; a group that "
        "would not shrink keeps its width.",
    )
    sweep: Sweep | None = Field(default=None, description="Try several criteria or sizes and deliver the best.")
    search: Search | None = Field(
        default=None, description="How to search for the smallest model within `max_metric_drop`."
    )
    baselines: Baselines | None = Field(default=None, description="Create models to compare the delivered model with.")
    seed: int = Field(default=0, ge=0, lt=2**32, description="Random seed.")

    @property
    def extent_is_given(self) -> bool:
        """Whether the spec itself says how far to go, or leaves that to a sweep or a search."""
        given = self.ratio is not None or self.max_filters_removed is not None or bool(self.targets)
        return given or bool(self.ratios) or bool(self.ratios_by_width)

    @property
    def weighed_per(self) -> Unit:
        """What importances are weighed against: `importance_per`, or what stands for it where it is not given."""
        if self.importance_per is not None or self.scope != "sensitivity":
            return self.importance_per or "channel"
        return next((unit for name, unit in _LIMITED.items() if getattr(self, name) is not None), "channel")

    def resolved(self, *, has_data: bool, has_targets: bool) -> PruningSpec:
        """Return the spec with the criterion that `auto` stands for, in its sweep too."""

        def of(criterion: Any) -> Any:
            is_name = isinstance(criterion, str)
            return resolved(criterion, has_data=has_data, has_targets=has_targets) if is_name else criterion

        changes: dict[str, Any] = {"criterion": of(self.criterion)}
        if self.sweep is not None:
            changes["sweep"] = self.sweep.model_copy(update={"criteria": [of(each) for each in self.sweep.criteria]})
        return self.model_copy(update=changes)

    @property
    def smallest(self) -> Search | None:
        """How to search for the smallest model; `None` where sizes are given."""
        is_alone = self.max_metric_drop is not None and not self.extent_is_given and self.sweep is None
        return self.search or (Search() if is_alone else None)

    @property
    def criteria(self) -> list[Any]:
        """The criteria that are gone by: those of the sweep, else the spec's own."""
        return list(self.sweep.criteria if self.sweep is not None else ()) or [self.criterion]

    @property
    def patterns(self) -> dict[str, list[str]]:
        """The regular expressions, by the field that they stand in."""
        return {
            "include": self.include,
            "exclude": self.exclude,
            "freeze": self.freeze,
            "ratios": list(self.ratios),
            "min_channels_by_layer": list(self.min_channels_by_layer),
        }

    @property
    def targets(self) -> dict[str, float | LatencyTarget]:
        """The targets that are given, by field."""
        return {name: value for name in TARGETS if (value := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _check_extent(self) -> PruningSpec:
        sizes = self.sweep is not None and self.sweep.sizes
        if not self.extent_is_given and not sizes and self.max_metric_drop is None:
            raise PydanticCustomError("extent", "Set one of {expected}.", {"expected": EXTENT})
        if self.sweep is not None and not sizes and not self.extent_is_given:
            raise PydanticCustomError(
                "sweep",
                "A sweep over criteria needs a size: set {expected}.",
                {"field": "sweep.sizes", "expected": f"sizes, or {EXTENT}"},
            )
        if self.search is not None and (self.sweep is not None or self.max_metric_drop is None or self.extent_is_given):
            raise PydanticCustomError(
                "search",
                "A search finds the smallest model within max_metric_drop.",
                {
                    "field": "search",
                    "expected": "max_metric_drop, without ratio, targets, max_filters_removed and sweep",
                },
            )
        if (self.schedule == "linear" or callable(self.schedule)) and self.num_iterations is None:
            raise PydanticCustomError(
                "num_iterations",
                "This schedule needs num_iterations.",
                {"field": "num_iterations", "expected": "an integer at least 1 and at most 1000"},
            )
        if self.scope == "global" and chooses_sets(self.criterion):
            raise PydanticCustomError(
                "scope",
                "A global ranking needs a score for each channel, but {criterion} chooses sets.",
                {
                    "field": "scope",
                    "criterion": self.criterion,
                    "expected": "scope local, or a criterion that scores channels, such as l1_norm",
                },
            )
        if self.importance_per not in (None, "channel") and self.normalisation == "standard":
            raise PydanticCustomError(
                "normalisation",
                "Negative importances cannot be divided by a cost.",
                {"field": "normalisation", "expected": "another normalisation, or importance_per channel"},
            )
        return self
