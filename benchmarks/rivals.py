"""Ways to make a small classifier from a trained one, all with the same number of epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras

from benchmarks.images import Images
from benchmarks.recipes import Recipe, accuracy, l1_cosine, uniform_l1
from pruning import load_model, prune

TRAINING: dict[str, Any] = {
    "batch_size": 128,
    "optimizer": {"name": "SGD", "options": {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}},
    "learning_rate": 0.05,
    "augmentation": {"horizontal_flip": True, "crop": 4},
    "loss": "sparse_categorical_crossentropy",
    "metrics": ["accuracy"],
}
"""How the library fine-tunes, in `TrainingSpec`."""

RECIPE = Recipe(optimizer="sgd", learning_rate=0.05, batch_size=128, crop=4)
"""The same by hand: how all models are trained that the library only cuts, or does not touch."""

ITERATED: dict[str, Any] = {"criterion": "kmeans", "ratio": 0.1}
CONSTANT = {"optimizer": "adam", "learning_rate": 0.001, "learning_rate_schedule": "constant", "warmup_fraction": 0.0}
"""How Ridurre began: a tenth of each layer goes each time, and Adam trains at one rate."""

NOTHING: Mapping[str, Any] = MappingProxyType({})

SMALL = "mlperf-tiny-resnet8.h5"


@dataclass(frozen=True)
class Case:
    """One model to make and measure.

    Attributes:
        method: Key of `METHODS`.
        setting: What it is called how far to go.
        targets: Fields of `PruningSpec` that say it.
        epochs: Of fine-tuning, in all.
        seed: Of everything random.
        label: What sets it apart from others of its method.
        pruning: Further fields of `PruningSpec`, for the library's own way.
        training: Fields of `TrainingSpec`, for what the library trains.
        is_final: Whether the test images are measured.
    """

    method: str
    setting: str
    targets: dict[str, float]
    epochs: int
    seed: int
    label: str = ""
    pruning: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    is_final: bool = True

    @property
    def name(self) -> str:
        """What tells it from all other cases."""
        parts = (self.method, self.label, self.setting, f"{self.epochs} epochs", f"seed {self.seed}")
        return " | ".join(part for part in parts if part)


@dataclass(frozen=True)
class Base:
    """Where all methods start.

    Attributes:
        model: The trained original; not changed.
        folder: Where further models lie.
        images: What to train and measure on.
    """

    model: keras.Model
    folder: Path
    images: Images


@dataclass(frozen=True)
class Made:
    """What a method makes: the model, the epochs that were really spent, and its accuracy before any of them."""

    model: keras.Model
    epochs: int
    before_training: float


def ours(case: Case, base: Base) -> Made:
    """Prune with the library, which divides the epochs over the iterations."""
    return _pruned(case, base, case.pruning)


def random(case: Case, base: Base) -> Made:
    """Prune once, channels that are drawn."""
    return _pruned(case, base, {"criterion": "random", "num_iterations": 1})


def iterated(case: Case, base: Base) -> Made:
    """Prune a tenth of each layer again and again by KMeans, not reconstructed; train at a constant rate between."""
    spec: dict[str, Any] = {**case.targets, **ITERATED, "seed": case.seed}
    count = sum(row.step == "pruning" for row in prune(base.model, spec).report.steps)
    rest = {"post_training_epochs": case.epochs % count}
    return _pruned(case, base, {**ITERATED, "reconstruction": False}, count, {**CONSTANT, **rest})


def by_hand(case: Case, base: Base) -> Made:
    """Cut the same share of every layer once, by L1 norm, and fine-tune."""
    return _trained(case, base, uniform_l1(base.model, case.targets))


def from_scratch(case: Case, base: Base) -> Made:
    """Train the architecture that is left by hand from new weights."""
    return _trained(case, base, fresh(uniform_l1(base.model, case.targets)))


def small(case: Case, base: Base) -> Made:
    """Fine-tune a network that was made small, and trained, by others."""
    return _trained(case, base, load_model(base.folder / SMALL))


METHODS: dict[str, Callable[[Case, Base], Made]] = {
    "ours": ours,
    "random": random,
    "iterated": iterated,
    "by hand": by_hand,
    "from scratch": from_scratch,
    "small": small,
}


def fresh(model: keras.Model) -> keras.Model:
    """Return the same architecture with new weights, but for layers that only fit inputs, which are not trained."""
    copy: keras.Model = keras.models.clone_model(model)
    for source, target in zip(model.layers, copy.layers, strict=True):
        if source.weights and not source.trainable_weights:
            target.set_weights(source.get_weights())
    return copy


def _pruned(
    case: Case, base: Base, pruning: Mapping[str, Any], count: int | None = None, changed: Mapping[str, Any] = NOTHING
) -> Made:
    each = case.epochs // (count or pruning.get("num_iterations") or 1)
    training = {**case.training, "fine_tuning_epochs": each, "seed": case.seed, **changed}
    spec = {**pruning, **case.targets, "seed": case.seed}
    result = prune(base.model, spec, base.images.data, training=training)
    spent = sum(len(history["loss"]) for history in result.history.values())
    first = next(row for row in result.report.steps if row.step == "pruning")
    return Made(result.model, spent, first.metrics["val_accuracy"])


def _trained(case: Case, base: Base, model: keras.Model) -> Made:
    images = base.images
    before = accuracy(model, images.x_val, images.y_val)
    l1_cosine(
        model, images.x_train, images.y_train, images.x_val, images.y_val, case.epochs, seed=case.seed, recipe=RECIPE
    )
    return Made(model, case.epochs, before)
