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
"""What channels take up of that which a target limits."""


class WidthRatio(Frozen):
    """A pruning ratio for groups of at least `min_channels` channels."""

    min_channels: int = Field(ge=1)
    ratio: float = Field(ge=0, lt=1, description="0 leaves groups of this width alone.")


class LatencyTarget(Frozen):
    """The longest that one call of the model may take, on the machine that prunes."""

    share: Ratio | None = Field(default=None, description="Share of what the original takes.")
    seconds: float | None = Field(default=None, gt=0, description="Seconds for one call.")
    runtime: Runtime = Field(default="keras", description="What runs the model: Keras, or that of an export format.")
    batch_size: int = Field(default=1, ge=1, le=65_536, description="Samples in one call.")

    @model_validator(mode="after")
    def _check_one(self) -> LatencyTarget:
        if (self.share is None) == (self.seconds is None):
            raise PydanticCustomError("latency", "give {expected}", {"expected": "either share or seconds"})
        return self


class PruningSpec(Frozen):
    """What to remove, how much of it, and when to stop.

    Regular expressions, in the syntax of RE2, are matched against the whole path of a layer; the path of a
    layer inside a nested model is `nested/layer`. A channel group is governed by all layers that
    make or scale its channels: it is excluded when one of them is, included when one of them is, and takes
    the smallest ratio that one of them is given.

    Of each group, whole channels are removed, rounded down: a tenth of four channels is none.

    Say how far to go with at least one of `ratio`, the targets and `max_filters_removed`; or with `max_metric_drop`
    alone, and the smallest model within it is searched for; or with the sizes of a `sweep`.

    A target is the most that may be left: below 1 a share of the original, above 100 a count. What is left
    lies at most 1 % below the target that binds, or no group could have one step of its width back without
    passing it. Where `ratio` is given as well, each prune goes by the ratio and the last one stops at the
    target; otherwise the way to the target is divided over the iterations, evenly or by the schedule.
    Several targets hold together.
    """

    criterion: CriterionLike = Field(
        default=AUTO,
        description="Name from the catalog; in the library also a Criterion, its class, or a function "
        "`(weights) -> importance`. auto: coupled_norm where there are samples with targets, reconstruction where they "
        "have none, l2_norm without data.",
    )
    scope: Scope = Field(
        default="local",
        description="local ranks the channels of each group among themselves; global ranks the channels of all "
        "groups together, so that groups of little importance lose more; sensitivity ranks as local does, and groups "
        "lose more whose channels cost the loss on the calibration samples less, as measured group by group.",
    )
    normalisation: Normalisation = Field(
        default="mean",
        description="What makes the importances of different groups comparable for a global ranking: division by "
        "their max, mean, sum or l2 norm; standard, zero mean and unit deviation; rank, the share of the group's "
        "channels that are less important; none.",
    )
    importance_per: Unit | None = Field(
        default=None,
        description="What a global ranking weighs importance against, and sensitivity what channels cost the loss: "
        "each channel alike, or the parameters or multiply-accumulates that go with it. Default: channel where global; "
        "by sensitivity what the target limits, channel without one.",
    )
    ratio: Ratio | None = Field(
        default=None, description="Fraction of each group's channels removed per iteration; of all, unless local."
    )
    num_iterations: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Prune and fine-tune this often at most. Default: 1, or until the target is reached."
    )
    target_params: Target | None = Field(default=None, description="Most parameters left: a share, or a count.")
    target_macs: Target | None = Field(
        default=None, description="Most multiply-accumulates left for one sample: a share, or a count."
    )
    target_file_bytes: Target | None = Field(
        default=None,
        description="Largest .keras file as delivered, with the optimizer's state if the model came with "
        "one: a share of the original, or bytes. The report's file_bytes are without.",
    )
    target_latency: Ratio | LatencyTarget | None = Field(
        default=None, description="Longest call of the model: a share of the original's time, or more exactly."
    )
    runtimes: Annotated[list[Runtime], Field(max_length=5)] = Field(
        default=[],
        description="Where the report times the original and the delivered model, besides Keras and the runtime of "
        "target_latency: the runtimes of these export formats.",
    )
    max_filters_removed: Ratio | None = Field(
        default=None, description="Stop before a larger share of all prunable channels is removed."
    )
    max_metric_drop: float | None = Field(
        default=None,
        gt=0,
        description="Stop and go back to the last model whose metric on the validation set is at most this much "
        "worse than before pruning: 0.01 is one point of accuracy.",
    )
    metric: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None,
        description="Which metric that is; `accuracy` and `val_accuracy` both mean that of the "
        "validation set. Default: the first metric, or the loss if there is none.",
    )
    schedule: ScheduleLike = Field(
        default="constant",
        description="How what each iteration removes develops: constant; linear, falling evenly; exponential, "
        "halving each time; one_shot, everything in one iteration; in the library also a function "
        "`(iteration from 1, num_iterations) -> factor`.",
    )
    include: list[Pattern] = Field(default=[], description="Prune only groups with a layer that matches one of these.")
    exclude: list[Pattern] = Field(default=[], description="Leave groups with a layer that matches one of these alone.")
    freeze: list[Pattern] = Field(
        default=[],
        description="Neither train layers that match one of these nor remove channels that they make or scale; "
        "channels that they only read may go.",
    )
    ratios: dict[Pattern, Ratio] = Field(
        default={}, description="Ratio by layer; overrides `ratio` and widths. Unless local, the most of a group."
    )
    ratios_by_width: list[WidthRatio] = Field(
        default=[], description="Ratio by number of channels: the row with the largest `min_channels` that fits."
    )
    min_channels: int = Field(default=1, ge=1, description="Never leave a group with fewer channels.")
    calibration_samples: int = Field(
        default=1024, ge=1, description="How many training samples a criterion that looks at data sees, at random."
    )
    reconstruction: bool = Field(
        default=True,
        description="Where there is data, solve the layers that read removed channels anew by least squares after each "
        "prune, before any training, if that is better on held-out samples.",
    )
    min_channels_by_layer: dict[Pattern, Annotated[int, Field(ge=1)]] = Field(
        default={}, description="The same by layer; the largest that matches, or `min_channels`."
    )
    max_ratio: Ratio | None = Field(
        default=None, description="Never remove a larger share of a group's channels, over all iterations."
    )
    round_to: int = Field(
        default=1,
        ge=1,
        le=4096,
        description="Leave multiples of so many channels, rounded up, such as 8 for fast kernels; a group that "
        "would not shrink keeps its width.",
    )
    sweep: Sweep | None = Field(default=None, description="Try several criteria or sizes, and deliver the best.")
    search: Search | None = Field(
        default=None, description="How to search for the smallest model within `max_metric_drop`."
    )
    baselines: Baselines | None = Field(
        default=None, description="Make models to compare the delivered one with; they are never delivered."
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="Of all that is random.")

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
            raise PydanticCustomError("extent", "say how much to remove: give {expected}", {"expected": EXTENT})
        if self.sweep is not None and not sizes and not self.extent_is_given:
            raise PydanticCustomError(
                "sweep",
                "a sweep over criteria needs to know how far to go: give {expected}",
                {"field": "sweep.sizes", "expected": f"sizes, or {EXTENT}"},
            )
        if self.search is not None and (self.sweep is not None or self.max_metric_drop is None or self.extent_is_given):
            raise PydanticCustomError(
                "search",
                "a search looks for the smallest model within max_metric_drop",
                {
                    "field": "search",
                    "expected": "max_metric_drop, and neither ratio, targets, max_filters_removed nor sweep",
                },
            )
        if (self.schedule == "linear" or callable(self.schedule)) and self.num_iterations is None:
            raise PydanticCustomError(
                "num_iterations",
                "this schedule ends at the last iteration: give num_iterations",
                {"field": "num_iterations", "expected": "an integer at least 1 and at most 1000"},
            )
        if self.scope == "global" and chooses_sets(self.criterion):
            raise PydanticCustomError(
                "scope",
                "a global ranking needs a number for each channel, and {criterion} chooses sets",
                {
                    "field": "scope",
                    "criterion": self.criterion,
                    "expected": "scope local, or a criterion that scores channels, such as l1_norm",
                },
            )
        if self.importance_per not in (None, "channel") and self.normalisation == "standard":
            raise PydanticCustomError(
                "normalisation",
                "importances below zero cannot be weighed against a cost",
                {"field": "normalisation", "expected": "another normalisation, or importance_per channel"},
            )
        return self
