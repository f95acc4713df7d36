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
    """Name of a Keras object, with options of its constructor."""

    name: str = Field(min_length=1, max_length=64)
    options: dict[Name, bool | int | float | OptionText | None] = Field(default={})


KerasName = Annotated[str, Field(min_length=1, max_length=64)] | NamedOptions


class Distillation(Frozen):
    """Train the pruned model towards the outputs of the model before the first prune, on the same batches.

    The loss is `(1 - weight)` times the usual loss plus `weight` times the distance of the outputs: for classes, the
    divergence of the probabilities at a temperature, times its square; for other outputs, the mean squared difference.
    """

    weight: float = Field(default=0.5, ge=0, le=1, description="Weight of the distance of the outputs in the loss.")
    temperature: float = Field(
        default=4.0, gt=0, le=100, description="Divide logits by this before comparing class probabilities."
    )
    features: float = Field(
        default=0.0,
        ge=0,
        description="Weight of the distance of the outputs of layers with weights that still have the original's "
        "shape: the squared difference relative to the original's mean square, averaged over these layers.",
    )


class Sparsity(Frozen):
    """Shrink the weights of some channels before the first prune, so that removing them costs less."""

    kind: Literal["batch_norm", "group_norm"] = Field(
        default="group_norm",
        description="batch_norm adds the absolute values of BatchNormalization's gamma to the loss; group_norm adds "
        "half the squares of all weights of a channel, up to 16 times more for weaker channels.",
    )
    strength: float = Field(default=1e-4, gt=0, description="Factor of the penalty.")


class TrainingSpec(Frozen):
    """How to train, fine-tune and post-train.

    Loss, optimizer, learning rate and metrics default to those the model was compiled with. Augmentation, label
    smoothing and weights apply to training only, not to validation loss and metrics.
    """

    epochs: int = Field(default=0, ge=0, le=10_000, description="Epochs of training before the first prune.")
    fine_tuning_epochs: Annotated[int, Field(ge=0, le=10_000)] | Literal["auto"] = Field(
        default="auto",
        description="Epochs after each prune. auto: enough optimizer steps for the data and the removed fraction, "
        "divided over the iterations; each phase stops early when it no longer helps, and keeps its best epoch.",
    )
    post_training_epochs: int = Field(default=0, ge=0, le=10_000, description="Epochs after the last iteration.")
    batch_size: int = Field(default=64, ge=1, le=65_536, description="Samples per training step.")
    loss: KerasName | dict[Name, KerasName] | None = Field(
        default=None, description="Name of a Keras loss, or one for each output by name. Default: the compiled model's."
    )
    optimizer: KerasName | None = Field(
        default=None, description="Name of a Keras optimizer. Default: the compiled model's."
    )
    learning_rate: float | None = Field(
        default=None, gt=0, description="Peak learning rate. Default: the compiled model's, or the optimizer's default."
    )
    learning_rate_schedule: LearningRateSchedule = Field(
        default="cosine", description="Decay of the learning rate towards zero in each phase, after the warm-up."
    )
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1, description="Fraction of each phase for the warm-up.")
    metrics: list[KerasName] | dict[Name, list[KerasName]] | None = Field(
        default=None,
        description="Names of Keras metrics, or lists for each output by name. Default: the compiled model's.",
    )
    augmentation: Augmentation | Literal["auto"] = Field(
        default="auto",
        description="Random changes to training images. auto: after the first prune, flips and small shifts, each only "
        "if it does not make the model before that prune worse on the validation set.",
    )
    validation_split: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="Fraction of training samples to hold out if the dataset has no validation set.",
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Fraction of each training label to spread over all classes."
    )
    class_weights: Literal["balanced"] | dict[int, Annotated[float, Field(ge=0)]] | None = Field(
        default=None,
        description="Class weights in the training loss, by label; default 1. balanced: the same total for each class.",
    )
    max_train_samples: int | None = Field(default=None, ge=1, description="Train on a random subset of this size.")
    distillation: Distillation | None = Field(
        default=None, description="After the first prune, also learn from the model before it."
    )
    sparsity: Sparsity | None = Field(
        default=None, description="In the epochs before the first prune, weaken channels that can be removed."
    )
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Evaluate and deliver moving averages of the weights over the steps of each phase; the momentum "
        "grows to this value, such as 0.999.",
    )
    mixed_precision: bool = Field(default=False, description="Train in bfloat16; the model keeps its precision.")
    seed: int = Field(default=0, ge=0, lt=2**32, description="Random seed.")

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
                "Sparsity needs epochs before the first prune.",
                {"field": "epochs", "expected": "at least 1 epoch", "hint": "Set epochs, or remove sparsity."},
            )
        if self.distillation is not None and not (self.fine_tuning_epochs or self.post_training_epochs):
            raise PydanticCustomError(
                "distillation",
                "Distillation needs epochs after a prune.",
                {
                    "field": "fine_tuning_epochs",
                    "expected": "at least 1 epoch of fine-tuning or post-training",
                    "hint": "Set fine_tuning_epochs, or remove distillation.",
                },
            )
        return self
