"""TrainingSpec: how to train, fine-tune and post-train."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pruning.spec.augmentation import Augmentation
from pruning.spec.values import Frozen, LearningRateSchedule, Name, OptionText


class NamedOptions(Frozen):
    """A Keras object by name with its constructor options."""

    name: str = Field(min_length=1, max_length=64)
    options: dict[Name, bool | int | float | OptionText | None] = Field(default={})


KerasName = Annotated[str, Field(min_length=1, max_length=64)] | NamedOptions


class Distillation(Frozen):
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


class Sparsity(Frozen):
    """Making weights of some channels small before the first prune, so that it costs less to remove them."""

    kind: Literal["batch_norm", "group_norm"] = Field(
        default="group_norm",
        description="batch_norm adds the absolute factors (gamma) of BatchNormalization to the loss; group_norm half "
        "the squares of all weights that go with a channel, those of weaker channels up to 16 times.",
    )
    strength: float = Field(default=1e-4, gt=0, description="What is added is multiplied by this.")


class TrainingSpec(Frozen):
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
    batch_size: int = Field(default=64, ge=1, le=65_536, description="Samples per training step.")
    loss: KerasName | dict[Name, KerasName] | None = Field(
        default=None, description="Any Keras loss; per output by name."
    )
    optimizer: KerasName | None = Field(default=None, description="Any of Keras. Default: the compiled model's.")
    learning_rate: float | None = Field(
        default=None, gt=0, description="At its peak. Default: the compiled model's, or its optimizer's own."
    )
    learning_rate_schedule: LearningRateSchedule = Field(
        default="cosine", description="Over each phase, from `learning_rate` towards zero, after the warm-up."
    )
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1, description="Share of each phase spent warming up.")
    metrics: list[KerasName] | dict[Name, list[KerasName]] | None = Field(
        default=None, description="Any of Keras; per output by name. Default: the compiled model's."
    )
    augmentation: Augmentation | Literal["auto"] = Field(
        default="auto",
        description="Random changes to training images. auto: after the first prune, flips and small shifts, each only "
        "if the model before that prune does not mind it on the validation set.",
    )
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
    mixed_precision: bool = Field(default=False, description="Train in bfloat16; the model keeps its own precision.")
    seed: int = Field(default=0, ge=0, lt=2**32, description="Of all that is random.")

    @property
    def known_augmentation(self) -> Augmentation:
        """The random changes that are asked for; none where they are chosen later."""
        return Augmentation() if self.augmentation == "auto" else self.augmentation

    @property
    def measuring_batch_size(self) -> int:
        """Samples in a batch where nothing is trained: small batches would only take longer."""
        return max(self.batch_size, 128)

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
