"""What a caller may ask: PruningSpec and TrainingSpec, used by library, jobs and API alike."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from pruning.catalog import CRITERIA

Schedule = Literal["constant", "linear", "exponential", "one_shot"]
LearningRateSchedule = Literal["constant", "cosine", "linear"]
Ratio = Annotated[float, Field(gt=0, lt=1)]
MAX_PATTERN_CHARACTERS = 256
EXTENT = "ratio, target_params or max_filters_removed"


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
    if not isinstance(criterion, str) or criterion not in CRITERIA:
        raise ValueError(f"unknown criterion {criterion!r}; expected one of {', '.join(CRITERIA)}")
    return criterion


def _criterion_name(criterion: Any) -> str:
    return criterion if isinstance(criterion, str) else str(getattr(criterion, "__name__", type(criterion).__name__))


Pattern = Annotated[str, Field(min_length=1, max_length=MAX_PATTERN_CHARACTERS), BeforeValidator(_check_pattern)]
CriterionLike = Annotated[
    Any,
    BeforeValidator(_check_criterion),
    PlainSerializer(_criterion_name, return_type=str),
    WithJsonSchema({"type": "string", "enum": list(CRITERIA)}),
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class WidthRatio(_Frozen):
    """A pruning ratio for groups of at least `min_channels` channels."""

    min_channels: int = Field(ge=1)
    ratio: float = Field(ge=0, lt=1, description="0 leaves groups of this width alone.")


class PruningSpec(_Frozen):
    """What to remove, how much of it, and when to stop.

    Regular expressions are matched against the whole path of a layer (`re.fullmatch`); the path of a
    layer inside a nested model is `nested/layer`. A channel group is governed by all layers that
    produce its channels: it is excluded when one of them is, included when one of them is, and takes
    the smallest ratio that one of them is given.

    Say how far to go with at least one of `ratio`, `target_params` and `max_filters_removed`.
    """

    criterion: CriterionLike = Field(
        default="l1_norm",
        description="Name from the catalog; in the library also a Criterion, its class, or a function "
        "`(weights) -> importance`.",
    )
    ratio: Ratio | None = Field(default=None, description="Fraction of each group's channels removed per iteration.")
    num_iterations: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Prune and fine-tune this often at most. Default: 1, or until the target is reached."
    )
    target_params: Ratio | None = Field(default=None, description="Stop at this share of the parameters left.")
    max_filters_removed: Ratio | None = Field(
        default=None, description="Stop before a larger share of all prunable channels is removed."
    )
    schedule: Schedule = Field(
        default="constant",
        description="How `ratio` develops over the iterations: constant; linear, falling evenly; exponential, "
        "halving each time; one_shot, everything in one iteration.",
    )
    include: list[Pattern] = Field(default=[], description="Prune only groups with a layer that matches one of these.")
    exclude: list[Pattern] = Field(default=[], description="Leave groups with a layer that matches one of these alone.")
    ratios: dict[Pattern, Ratio] = Field(default={}, description="Ratio by layer; overrides `ratio` and widths.")
    ratios_by_width: list[WidthRatio] = Field(
        default=[], description="Ratio by number of channels: the row with the largest `min_channels` that fits."
    )
    min_channels: int = Field(default=1, ge=1, description="Never leave a group with fewer channels.")
    calibration_samples: int = Field(
        default=1024, ge=1, description="How many training samples a criterion that looks at data sees, at random."
    )
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _check_extent(self) -> PruningSpec:
        how_far = (self.ratio, self.target_params, self.max_filters_removed)
        if all(value is None for value in how_far) and not (self.ratios or self.ratios_by_width):
            raise PydanticCustomError("extent", "say how much to remove: give {expected}", {"expected": EXTENT})
        if self.schedule == "linear" and self.num_iterations is None:
            raise PydanticCustomError(
                "num_iterations",
                "schedule 'linear' ends at the last iteration: give num_iterations",
                {"field": "num_iterations", "expected": "an integer at least 1 and at most 1000"},
            )
        return self


class Augmentation(_Frozen):
    """Random changes to training images; inputs of other rank are refused."""

    horizontal_flip: bool = False
    vertical_flip: bool = False
    crop: int = Field(default=0, ge=0, le=256, description="Pad by this many pixels, then crop back at random.")
    shift: float = Field(default=0.0, ge=0, lt=1, description="Shift by up to this fraction of height and width.")


Name = Annotated[str, Field(min_length=1, max_length=256)]
OptionText = Annotated[str, Field(max_length=1000)]


class NamedOptions(_Frozen):
    """A Keras object by name with its constructor options."""

    name: str = Field(min_length=1, max_length=64)
    options: dict[Name, bool | int | float | OptionText | None] = {}


KerasName = Annotated[str, Field(min_length=1, max_length=64)] | NamedOptions


class TrainingSpec(_Frozen):
    """How to train, fine-tune and post-train.

    What the model was compiled with is the default for loss, optimizer, learning rate and metrics.
    """

    epochs: int = Field(default=0, ge=0, le=10_000, description="Epochs of training before the first prune.")
    fine_tuning_epochs: int = Field(default=1, ge=0, le=10_000, description="Epochs after each prune.")
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
    max_train_samples: int | None = Field(default=None, ge=1, description="Train on a random subset of this size.")
    mixed_precision: bool = Field(default=False, description="Train in bfloat16 (CPU, TPU) or float16 (GPU).")
    seed: int = Field(default=0, ge=0, lt=2**32)
