"""A phase of training that stops after any of its epochs ends, when it goes on, as if it had not stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, TrainingSpec
from pruning.datasets.data import Data
from pruning.recovery.fitting import Recovery
from pruning.recovery.phase import TrainingPhase
from pruning.recovery.training_state import TrainingSnapshot, TrainingState
from pruning.selection.drop import WatchedMetric
from pruning.training.compiling import Compiling
from pruning.training.freezing import frozen
from tests.pruning.models import blobs, same, values

AUGMENTATION = {"horizontal_flip": True, "crop": 1, "mixup": 0.2}
ADAM = {"name": "adam", "options": {"use_ema": True, "ema_momentum": 0.9}}
SCALED = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05, momentum=0.9), initial_scale=8.0)


@keras.saving.register_keras_serializable("ridurre-tests")
class Unseeded(layers.Layer):
    """Noise in training, from Keras's global generator."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        return inputs + keras.random.normal(keras.ops.shape(inputs)) if training else inputs


def images(*noise: Any) -> keras.Model:
    """Return a classifier of images with dropout, augmenting layers and BatchNormalization."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.RandomTranslation(0.2, 0.2),
            layers.Conv2D(6, 3, use_bias=False, name="first"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.3),
            layers.GlobalAveragePooling2D(),
            *noise,
            layers.Dense(4, activation="softmax"),
        ]
    )


def sequences() -> keras.Model:
    """Return a recurrent classifier of images' rows, with dropout of its states."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Reshape((8, 24)),
            layers.GRU(5, dropout=0.2, recurrent_dropout=0.2),
            layers.Dense(4, activation="softmax"),
        ]
    )


@dataclass(frozen=True)
class Case:
    """How a model is trained."""

    training: dict[str, Any]
    network: Callable[[], keras.Model] = images
    optimizer: Any = "sgd"
    freeze: tuple[str, ...] = ()
    is_watched: bool = False


CASES = {
    "averaging optimizer": Case({"augmentation": AUGMENTATION, "optimizer": ADAM}),
    "mixed precision": Case({"mixed_precision": True, "optimizer": ADAM, "label_smoothing": 0.1}),
    "scaled loss": Case({"augmentation": AUGMENTATION}, optimizer=SCALED),
    "averages": Case({"ema": 0.9, "optimizer": "adam"}),
    "frozen": Case({"optimizer": "adam"}, freeze=("first",)),
    "early stop": Case({"learning_rate": 0.02}, is_watched=True),
    "recurrent": Case({"optimizer": "rmsprop"}, network=sequences),
}
if keras.backend.backend() != "jax":  # Which cannot trace noise without a seed.
    CASES["unseeded"] = Case({}, network=lambda: images(Unseeded()))


@dataclass(frozen=True)
class Trained:
    """What a training leaves behind."""

    state: TrainingState
    variables: list[np.ndarray]
    optimizer: list[np.ndarray]

    def assert_is(self, other: Trained) -> None:
        assert self.state == other.state
        assert same(self.variables, other.variables)
        assert same(self.optimizer, other.optimizer)


def train(
    case: Case, num_epochs: int, resumed: TrainingSnapshot | None = None, seed: int = 0
) -> tuple[Trained, list[TrainingSnapshot]]:
    """Train a new model, with initial values that are always the same; `seed` is of all else that draws numbers."""
    keras.utils.set_random_seed(5)
    model = case.network()
    model.compile(case.optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    keras.utils.set_random_seed(seed)
    training = TrainingSpec.model_validate({"batch_size": 32, **case.training})
    data = Data.of((blobs(96), blobs(32, seed=1))).fit_to(model)
    compiling = Compiling(model, training, data)
    recovery = Recovery(training, compiling, compiling.fit_targets(data))
    watched = WatchedMetric(PruningSpec(ratio=0.5), recovery.evaluate(model)) if case.is_watched else None
    phase = TrainingPhase("fine-tuning", num_epochs, 7, 3, 3 + 3 * num_epochs, watched)
    snapshots = list[TrainingSnapshot]()
    with frozen(model, case.freeze):
        state = recovery.train(
            model, phase, lambda *_: None, resumed=resumed, on_checkpoint=None if resumed else snapshots.append
        )
    optimizer = [np.array(keras.ops.convert_to_numpy(each)) for each in model.optimizer.variables]
    return Trained(state, values(model), optimizer), snapshots


@pytest.mark.parametrize("case", CASES)
def test_a_phase_goes_on_after_any_of_its_epochs(case: str) -> None:
    whole, snapshots = train(CASES[case], 3)
    assert [each.state.epochs for each in snapshots] == list(range(1, whole.state.epochs + 1))
    for number, snapshot in enumerate(snapshots):
        read = TrainingSnapshot.from_arrays(
            TrainingState.model_validate_json(snapshot.state.model_dump_json()), snapshot.arrays
        )
        train(CASES[case], 3, read, seed=number + 1)[0].assert_is(whole)
