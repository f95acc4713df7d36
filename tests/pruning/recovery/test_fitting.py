"""What a model is trained and measured on."""

from __future__ import annotations

import gc
import tracemalloc

import keras
import numpy as np

from pruning import PruningSpec, TrainingSpec
from pruning.datasets.data import Data
from pruning.recovery.fitting import Recovery
from pruning.recovery.phase import TrainingPhase
from pruning.recovery.training_state import TrainingSnapshot
from pruning.selection.drop import WatchedMetric
from pruning.training.compiling import Compiling
from tests.pruning.models import blobs, residual, same, values
from tests.pruning.recovery.test_distillation import network


def test_only_training_batches_are_augmented_and_shuffled() -> None:
    model = residual(compiled=True)
    training = TrainingSpec.model_validate({"augmentation": {"horizontal_flip": True, "crop": 2}})
    data = Data.of((blobs(64), blobs(32, seed=1))).fit_to(model)
    recovery = Recovery(training, Compiling(model, training, data), data)
    images, labels = recovery.validation_batches(model)[0]
    assert np.array_equal(images, blobs(32, seed=1)[0])
    assert np.array_equal(labels, blobs(32, seed=1)[1])
    images, _ = recovery.training_batches(model, 0)[0]
    assert sorted(images.sum(axis=(1, 2, 3))) != sorted(blobs(64)[0].sum(axis=(1, 2, 3)))


def test_measuring_again_and_again_takes_no_more_memory() -> None:
    """TensorFlow keeps all that it took batches from."""
    inputs = keras.Input((64, 64, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(2, 3, strides=8)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x)))
    images = np.zeros((500, 64, 64, 3), "float32")
    training = TrainingSpec(batch_size=16)
    data = Data.of(((images, np.zeros(500, "int32")), (images[:8], np.zeros(8, "int32")))).fit_to(model)
    recovery = Recovery(training, Compiling(model, training, data), data)
    recovery.settle(model)
    gc.collect()
    tracemalloc.start()
    for _ in range(3):
        recovery.settle(model)
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    held_out = images.nbytes // 5
    assert held < held_out


def recovery(model: keras.Model, labels: np.ndarray | None = None, **training: object) -> Recovery:
    spec = TrainingSpec.model_validate({"batch_size": 16, "learning_rate": 0.02, **training})
    images, own = blobs(64)
    data = Data.of(((images, own if labels is None else labels), blobs(64, seed=1))).fit_to(model)
    compiling = Compiling(model, spec, data)
    return Recovery(spec, compiling, compiling.fit_targets(data))


def test_what_makes_a_model_worse_is_undone() -> None:
    """It is trained well, and then on wrong labels."""
    model = network()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    good = recovery(model)
    good.train(model, TrainingPhase("training", 20, 0), lambda epoch, share, logs: None)
    before, weights = good.evaluate(model)["val_accuracy"], values(model)
    wrong = recovery(model, (blobs(64)[1] + 1) % 4)
    watched = WatchedMetric(PruningSpec(ratio=0.5), {"val_accuracy": before})
    done = wrong.train(model, TrainingPhase("fine-tuning", 20, 0, watched=watched), lambda epoch, share, logs: None)
    assert done.best_epoch == 0
    assert done.is_over
    assert done.history["val_accuracy"][-1] < before - 0.2
    assert same(values(model), weights)
    assert good.evaluate(model)["val_accuracy"] == before


def test_averages_of_weights_that_an_optimizer_keeps_outlive_what_is_measured() -> None:
    model = residual(compiled=True)
    options = {"optimizer": {"name": "adam", "options": {"use_ema": True}}}
    own = recovery(model, **options)
    own.train(model, TrainingPhase("training", 1, 0), lambda epoch, share, logs: None)
    own.evaluate(model)
    averages = model.optimizer._model_variables_moving_average
    assert same([np.asarray(each) for each in averages], [np.asarray(each) for each in model.trainable_variables])


def test_a_training_goes_on_with_the_batches_that_it_would_have_seen() -> None:
    phase, snapshots = TrainingPhase("training", 3, 5), list[TrainingSnapshot]()
    whole, again = residual(compiled=True), residual(compiled=True)
    options = {"optimizer": "adam", "augmentation": {"crop": 2, "mixup": 0.2}}
    done = recovery(whole, **options).train(
        whole, phase, lambda epoch, share, logs: None, on_checkpoint=snapshots.append
    )
    resumed = recovery(again, **options).train(again, phase, lambda epoch, share, logs: None, resumed=snapshots[0])
    assert [each.state.epochs for each in snapshots] == [1, 2, 3]
    assert done == resumed
    assert same(values(whole), values(again))
