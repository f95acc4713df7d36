"""What a caller may ask: PruningSpec and TrainingSpec, used by library, jobs and API alike."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pruning.catalog import AUTO, CRITERIA, resolved
from pruning.errors import invalid_spec

SCHEDULES = ("constant", "linear", "exponential", "one_shot")
Scope = Literal["local", "global"]
Normalisation = Literal["none", "max", "mean", "sum", "l2", "standard", "rank"]
Unit = Literal["channel", "param", "mac"]
Runtime = Literal["keras", "saved_model", "litert", "onnx", "openvino"]
LearningRateSchedule = Literal["constant", "cosine", "linear"]
Ratio = Annotated[float, Field(gt=0, lt=1)]
MAX_PATTERN_CHARACTERS = 256
MAX_PERCENT = 100
"""No model has so few parameters, multiply-accumulates or bytes: whoever asks for them means a percentage."""
TARGETS = ("target_params", "target_macs", "target_file_bytes", "target_latency")
EXTENT = f"ratio, {', '.join(TARGETS)} or max_filters_removed"


def _check_pattern(pattern: Any) -> Any:
    if isinstance(pattern, str) and len(pattern) <= MAX_PATTERN_CHARACTERS:  # the length is refused by itself
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            message = f"{pattern!r} is not a regular expression: {error}"
            expected = f"a regular expression of at most {MAX_PATTERN_CHARACTERS} characters"
            raise PydanticCustomError("pattern", "{message}", {"message": message, "expected": expected}) from None
    return pattern


def _check_criterion(criterion: Any) -> Any:
    if callable(criterion) or hasattr(criterion, "select"):
        return criterion
    if not isinstance(criterion, str) or criterion not in (AUTO, *CRITERIA):
        raise ValueError(f"unknown criterion {criterion!r}; expected one of {', '.join([AUTO, *CRITERIA])}")
    return criterion


def _chooses_sets(criterion: Any) -> bool:
    return isinstance(criterion, str) and criterion != AUTO and not CRITERIA[criterion].ranks


def _check_schedule(schedule: Any) -> Any:
    if callable(schedule) or (isinstance(schedule, str) and schedule in SCHEDULES):
        return schedule
    raise ValueError(f"unknown schedule {schedule!r}; expected one of {', '.join(SCHEDULES)}")


def _check_target(target: float) -> float:
    if target < 1 or (target > MAX_PERCENT and target == int(target)):
        return target
    context = {"expected": f"a share above 0 and below 1, or a whole number above {MAX_PERCENT}"}
    if 1 < target < MAX_PERCENT:
        context["hint"] = f"Did you mean {target / 100:.6g} ({target:g} % of the original)?"
    message = f"{target:g} is neither a share of the original nor a count that a model can come down to"
    raise PydanticCustomError("target", "{message}", {"message": message, **context})


def _name(chosen: Any) -> str:
    return chosen if isinstance(chosen, str) else str(getattr(chosen, "__name__", type(chosen).__name__))


Pattern = Annotated[str, Field(min_length=1, max_length=MAX_PATTERN_CHARACTERS), BeforeValidator(_check_pattern)]
CriterionLike = Annotated[
    Any,
    BeforeValidator(_check_criterion),
    PlainSerializer(_name, return_type=str),
    WithJsonSchema({"type": "string", "enum": [AUTO, *CRITERIA]}),
]
ScheduleLike = Annotated[
    Any,
    BeforeValidator(_check_schedule),
    PlainSerializer(_name, return_type=str),
    WithJsonSchema({"type": "string", "enum": list(SCHEDULES)}),
]
Target = Annotated[float, Field(gt=0), AfterValidator(_check_target)]
"""Below 1 a share of the original, above `MAX_PERCENT` a count."""


def _without_fields(schema: dict[str, Any]) -> None:
    if "description" in schema:  # Not where Python leaves docstrings out.
        schema["description"] = schema["description"].split("\n\nAttributes:")[0]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, json_schema_extra=_without_fields)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Tell of the fields in the docstring too, where `help` and the API reference look."""
        told = [f"        {name}: {each.description}" for name, each in cls.model_fields.items() if each.description]
        if told:
            cls.__doc__ = f"{(cls.__doc__ or '').rstrip()}\n\n    Attributes:\n" + "\n".join(told) + "\n    "


class WidthRatio(_Frozen):
    """A pruning ratio for groups of at least `min_channels` channels."""

    min_channels: int = Field(ge=1)
    ratio: float = Field(ge=0, lt=1, description="0 leaves groups of this width alone.")


class LatencyTarget(_Frozen):
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


class Sweep(_Frozen):
    """Several criteria, several sizes, or each with each; every one gives a candidate."""

    criteria: list[CriterionLike] = Field(default=[], max_length=32, description="Default: the spec's own.")
    sizes: list[Ratio] = Field(
        default=[], max_length=32, description="Shares that are left, in place of the spec's targets. Default: those."
    )
    measure: Literal["macs", "params"] = Field(
        default="macs", description="What the sizes are shares of; params where MACs cannot be counted."
    )

    @property
    def criterion_names(self) -> list[str]:
        """The criteria by name."""
        return [str(name) for name in self.model_dump(include={"criteria"})["criteria"]]

    @model_validator(mode="after")
    def _check_any(self) -> Sweep:
        names, told = self.criterion_names, {"expected": "criteria or sizes, each of them once"}
        if not names and not self.sizes:
            raise PydanticCustomError("sweep", "there is nothing to sweep over: give {expected}", told)
        if len(set(names)) < len(names) or len(set(self.sizes)) < len(self.sizes):
            raise PydanticCustomError("sweep", "something is there twice: give {expected}", told)
        return self


class Search(_Frozen):
    """The smallest model within `max_metric_drop`, by bisection; what comes first of these ends it."""

    max_trials: int = Field(default=6, ge=1, le=100, description="Sizes to try.")
    max_epochs: int | None = Field(default=None, ge=1, description="Epochs of fine-tuning and post-training in all.")
    max_minutes: float | None = Field(default=None, gt=0, description="Minutes of work in all.")
    resolution: float = Field(
        default=0.1, gt=0, lt=1, description="End where the next smaller size is known to fail within this share."
    )


BaselineMethod = Literal["random", "uniform_l1", "from_scratch"]


class Baselines(_Frozen):
    """What the delivered model is compared with, at its own size and with its budget of training."""

    methods: list[BaselineMethod] = Field(
        default=["random", "uniform_l1", "from_scratch"],
        min_length=1,
        description="random: random channels; uniform_l1: the l1_norm, as large a share of each layer, in one prune; "
        "from_scratch: the delivered architecture with weights drawn anew.",
    )
    num_seeds: int = Field(default=3, ge=1, le=20, description="How often each is repeated.")


class PruningSpec(_Frozen):
    """What to remove, how much of it, and when to stop.

    Regular expressions are matched against the whole path of a layer (`re.fullmatch`); the path of a
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
        "`(weights) -> importance`. auto: taylor where there are samples with targets, reconstruction where they have "
        "none, l2_norm without data.",
    )
    scope: Scope = Field(
        default="local",
        description="local ranks the channels of each group among themselves; global ranks the channels of all "
        "groups together, so that groups of little importance lose more.",
    )
    normalisation: Normalisation = Field(
        default="mean",
        description="What makes the importances of different groups comparable for a global ranking: division by "
        "their max, mean, sum or l2 norm; standard, zero mean and unit deviation; rank, the share of the group's "
        "channels that are less important; none.",
    )
    importance_per: Unit = Field(
        default="channel",
        description="What a global ranking weighs importance against: each channel alike, or the parameters or "
        "multiply-accumulates that go with it.",
    )
    ratio: Ratio | None = Field(
        default=None, description="Fraction of each group's channels removed per iteration; of all, where global."
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
        default={}, description="Ratio by layer; overrides `ratio` and widths. Where global, the most of a group."
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
    seed: int = Field(default=0, ge=0, lt=2**32)

    @property
    def extent_is_given(self) -> bool:
        """Whether the spec itself says how far to go, or leaves that to a sweep or a search."""
        given = self.ratio is not None or self.max_filters_removed is not None or bool(self.targets)
        return given or bool(self.ratios) or bool(self.ratios_by_width)

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
        is_alone = self.max_metric_drop is not None and not self.extent_is_given
        return self.search or (Search() if is_alone and (self.sweep is None or not self.sweep.sizes) else None)

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
        if self.scope == "global" and _chooses_sets(self.criterion):
            raise PydanticCustomError(
                "scope",
                "a global ranking needs a number for each channel, and {criterion} chooses sets",
                {
                    "field": "scope",
                    "criterion": self.criterion,
                    "expected": "scope local, or a criterion that scores channels, such as l1_norm",
                },
            )
        if self.importance_per != "channel" and self.normalisation == "standard":
            raise PydanticCustomError(
                "normalisation",
                "importances below zero cannot be weighed against a cost",
                {"field": "normalisation", "expected": "another normalisation, or importance_per channel"},
            )
        return self


class Augmentation(_Frozen):
    """Random changes to training images; inputs of other rank are refused.

    Masks of the images' height and width move with them. What comes in from beyond the edge is 0, in images and masks:
    label 0, or no class at all where each class has a map of its own.
    """

    horizontal_flip: bool = False
    vertical_flip: bool = False
    crop: int = Field(default=0, ge=0, le=256, description="Pad by this many pixels, then crop back at random.")
    shift: float = Field(default=0.0, ge=0, lt=1, description="Shift by up to this fraction of height and width.")
    targets: Literal["auto", "unchanged"] = Field(
        default="auto",
        description="auto moves masks with the images, leaves labels and single numbers alone, and refuses what could "
        "be places in the image, such as keypoints; unchanged leaves all targets alone.",
    )

    mixup: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="Train on means of two samples and of their targets, with shares from Beta(mixup, mixup); 0.2 is "
        "usual, 0 mixes nothing.",
    )

    @property
    def moves(self) -> bool:
        """Whether images are flipped or shifted at all."""
        return self.horizontal_flip or self.vertical_flip or self.crop > 0 or self.shift > 0


Name = Annotated[str, Field(min_length=1, max_length=256)]
OptionText = Annotated[str, Field(max_length=1000)]


class NamedOptions(_Frozen):
    """A Keras object by name with its constructor options."""

    name: str = Field(min_length=1, max_length=64)
    options: dict[Name, bool | int | float | OptionText | None] = {}


KerasName = Annotated[str, Field(min_length=1, max_length=64)] | NamedOptions


class Distillation(_Frozen):
    """Training a pruned model towards the outputs of the one before the first prune, which sees the same batches.

    The loss is `(1 - weight)` times the usual one and `weight` times the distance of the outputs: for classes the
    divergence of the probabilities at a temperature, times its square; for other outputs the mean squared difference.
    """

    weight: float = Field(default=0.5, ge=0, le=1, description="Share of the distance to the outputs in the loss.")
    temperature: float = Field(
        default=4.0, gt=0, le=100, description="Probabilities of classes are compared after division of logits by this."
    )
    features: float = Field(
        default=0.0,
        ge=0,
        description="Weight of the distance to what layers with weights make, where it has the original's shape still: "
        "the mean over the layers of the squared difference over the original's mean square.",
    )


class Sparsity(_Frozen):
    """Making weights of some channels small before the first prune, so that it costs less to remove them."""

    kind: Literal["batch_norm", "group_norm"] = Field(
        default="group_norm",
        description="batch_norm adds the absolute factors (gamma) of BatchNormalization to the loss; group_norm half "
        "the squares of all weights that go with a channel, those of weaker channels up to 16 times.",
    )
    strength: float = Field(default=1e-4, gt=0, description="What is added is multiplied by this.")


class TrainingSpec(_Frozen):
    """How to train, fine-tune and post-train.

    What the model was compiled with is the default for loss, optimizer, learning rate and metrics. Augmentation, label
    smoothing and weights are for training alone: loss and metrics on the validation set know nothing of them.
    """

    epochs: int = Field(default=0, ge=0, le=10_000, description="Epochs of training before the first prune.")
    fine_tuning_epochs: Annotated[int, Field(ge=0, le=10_000)] | Literal["auto"] = Field(
        default="auto",
        description="Epochs after each prune. auto: enough optimizer steps for the data and for what is removed, "
        "divided over the iterations; each phase ends early when it no longer helps, and its best epoch is kept.",
    )
    post_training_epochs: int = Field(default=0, ge=0, le=10_000, description="Epochs after the last iteration.")
    batch_size: int = Field(default=64, ge=1, le=65_536)
    loss: KerasName | dict[Name, KerasName] | None = Field(
        default=None, description="Any Keras loss; per output by name."
    )
    optimizer: KerasName | None = None
    learning_rate: float | None = Field(default=None, gt=0)
    learning_rate_schedule: LearningRateSchedule = Field(
        default="cosine", description="Over each phase, from `learning_rate` towards zero, after the warm-up."
    )
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1, description="Share of each phase spent warming up.")
    metrics: list[KerasName] | dict[Name, list[KerasName]] | None = None
    augmentation: Augmentation = Augmentation()
    validation_split: float = Field(
        default=0.2, gt=0, lt=1, description="Held out of the training samples where the dataset has no validation set."
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of each training label that is spread over all classes."
    )
    class_weights: Literal["balanced"] | dict[int, Annotated[float, Field(ge=0)]] | None = Field(
        default=None,
        description="What samples of a class count in the training loss, by label, 1 for those left out; balanced: as "
        "much for each class.",
    )
    max_train_samples: int | None = Field(default=None, ge=1, description="Train on a random subset of this size.")
    distillation: Distillation | None = Field(
        default=None, description="After the first prune, learn from the model before it as well."
    )
    sparsity: Sparsity | None = Field(
        default=None, description="In the epochs before the first prune, make channels that will be removed weaker."
    )
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Measure and deliver averages of the weights over the steps of each phase; the momentum grows to "
        "this, such as 0.999.",
    )
    mixed_precision: bool = Field(default=False, description="Train in bfloat16 (CPU, TPU) or float16 (GPU).")
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _check_phases(self) -> TrainingSpec:
        if self.sparsity is not None and not self.epochs:
            raise PydanticCustomError(
                "sparsity",
                "channels become weaker in the epochs before the first prune, and there are none",
                {"field": "epochs", "expected": "at least 1 epoch", "hint": "Set epochs, or leave sparsity out."},
            )
        if self.distillation is not None and not (self.fine_tuning_epochs or self.post_training_epochs):
            raise PydanticCustomError(
                "distillation",
                "a pruned model learns in the epochs after a prune, and there are none",
                {
                    "field": "fine_tuning_epochs",
                    "expected": "at least 1 epoch of fine-tuning or post-training",
                    "hint": "Set fine_tuning_epochs, or leave distillation out.",
                },
            )
        return self


Spec = TypeVar("Spec", PruningSpec, TrainingSpec)


def checked(kind: type[Spec], value: Any, field: str) -> Spec:
    """Return a spec given as one, or as a dict of its fields.

    Raises:
        SpecError: It does not allow what is given.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise invalid_spec(error, field, list(kind.model_fields)) from error
