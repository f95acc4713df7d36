"""BatchNormalization statistics that are measured anew."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, TrainingSpec, prune
from pruning.datasets.data import Data
from pruning.recovery.fitting import Recovery
from pruning.recovery.statistics import refresh_statistics, restore_statistics, statistics_of, trained_normalizations
from pruning.training.compiling import Compiling
from tests.pruning.models import blobs, residual, same

BETTER_THAN_CHANCE = 0.6  # Of four classes.


def normalizing(*, nested: bool = False) -> keras.Model:
    inner = [layers.Dropout(0.5), layers.BatchNormalization(name="norm")]
    middle = [keras.Sequential([keras.Input((6, 6, 5)), *inner])] if nested else inner
    return keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(5, 3), *middle, layers.GlobalAveragePooling2D(), layers.Dense(4)]
    )


@pytest.mark.parametrize("nested", [False, True])
def test_statistics_are_the_means_over_all_batches_without_dropout(nested: bool) -> None:
    model = normalizing(nested=nested)
    (norm,) = trained_normalizations(model)
    images = blobs(96)[0]
    refresh_statistics(model, [norm], [images[:32], images[32:64], images[64:]])
    made = np.asarray(keras.ops.convert_to_numpy(model.layers[0](images))).reshape(3, -1, 5)
    assert np.asarray(norm.moving_mean) == pytest.approx(made.mean(axis=1).mean(axis=0), rel=1e-4, abs=1e-5)
    assert np.asarray(norm.moving_variance) == pytest.approx(made.var(axis=1).mean(axis=0), rel=1e-4)
    assert norm.momentum == 0.99


def test_statistics_can_be_given_back_and_layers_that_are_not_trained_keep_theirs() -> None:
    model = normalizing()
    (norm,) = trained_normalizations(model)
    before = statistics_of([norm])
    refresh_statistics(model, [norm], [blobs(32)[0]])
    assert not same(before, statistics_of([norm]))
    restore_statistics([norm], before)
    assert same(before, statistics_of([norm]))
    norm.trainable = False
    assert trained_normalizations(model) == []


def recovery(model: keras.Model, num_samples: int = 200) -> Recovery:
    training = TrainingSpec(batch_size=32)
    data = Data.of(blobs(num_samples)).fit_to(model).split(0.2, 0)
    compiling = Compiling(model, training, data)
    return Recovery(training, compiling, compiling.fit_targets(data))


def trained() -> keras.Model:
    """A network that classifies well, with statistics that have settled."""
    model = residual(compiled=True)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*blobs(200), batch_size=32, epochs=6, verbose=0)
    norms = trained_normalizations(model)
    refresh_statistics(model, norms, [blobs(200)[0]])
    return model


def test_stale_statistics_are_replaced_and_good_ones_kept() -> None:
    model = trained()
    recovers, norms = recovery(model), trained_normalizations(model)
    good = recovers.evaluate(model)["val_accuracy"]
    for norm in norms:
        norm.moving_mean.assign(norm.moving_mean + 20)
    stale = recovers.evaluate(model)["val_accuracy"]
    assert recovers.settle(model)
    assert stale < good - 0.1
    assert recovers.evaluate(model)["val_accuracy"] >= good - 0.05


def test_statistics_that_are_better_than_new_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(model: keras.Model, normalizations: list[layers.BatchNormalization], batches: object) -> None:
        for norm in normalizations:
            norm.moving_mean.assign(norm.moving_mean + 20)

    model = trained()
    before = statistics_of(trained_normalizations(model))
    monkeypatch.setattr("pruning.recovery.fitting.refresh_statistics", spoil)
    assert not recovery(model).settle(model)
    assert same(before, statistics_of(trained_normalizations(model)))


def test_frozen_statistics_stay() -> None:
    model = trained()
    before = statistics_of([model.get_layer("stem_bn")])
    for norm in trained_normalizations(model):
        norm.moving_mean.assign(norm.moving_mean + 20)
    stale = statistics_of([model.get_layer("stem_bn")])
    recovery(model).settle(model, ["stem_bn"])
    assert same(stale, statistics_of([model.get_layer("stem_bn")]))
    assert not same(before, stale)


@pytest.mark.parametrize(
    "training",
    [
        {"epochs": 5, "fine_tuning_epochs": 0},
        {"epochs": 5, "fine_tuning_epochs": 1},
        {"epochs": 5, "fine_tuning_epochs": 0, "post_training_epochs": 1},
    ],
    ids=["zero epochs", "fine-tuning", "post-training"],
)
def test_every_model_after_training_is_measured_with_fresh_statistics(training: dict[str, object]) -> None:
    """With a momentum of 0.999 and so few steps the moving averages hardly leave their initial values."""
    model = residual(compiled=True)
    for norm in trained_normalizations(model):
        norm.momentum = 0.999
        norm.moving_mean.assign(norm.moving_mean + 20)
    spec = PruningSpec(criterion="l1_norm", ratio=0.1, include=["expand"])
    options = TrainingSpec.model_validate({"batch_size": 32, "optimizer": "adam", "learning_rate": 0.01, **training})
    result = prune(model, spec, (blobs(200), blobs(100, seed=1)), training=options)
    measured = {step.step: step.metrics["val_accuracy"] for step in result.report.steps if step.step != "initial"}
    assert all(accuracy > BETTER_THAN_CHANCE for accuracy in measured.values()), measured


@pytest.mark.parametrize("phase", ["epochs", "fine_tuning_epochs", "post_training_epochs"])
def test_after_every_phase_there_is_nothing_left_to_settle(phase: str) -> None:
    """With such a momentum the moving averages do not follow the weights at all."""
    model, data = residual(compiled=True), (blobs(200), blobs(100, seed=1))
    for norm in trained_normalizations(model):
        norm.momentum = 0.999
    none = dict.fromkeys(("epochs", "fine_tuning_epochs", "post_training_epochs"), 0)
    options = {"batch_size": 32, "optimizer": "adam", "learning_rate": 0.05, **none, phase: 2}
    small = prune(model, PruningSpec(criterion="l1_norm", ratio=0.1, include=["expand"]), data, training=options).model
    before = statistics_of(trained_normalizations(small))
    training, fitted = TrainingSpec.model_validate(options), Data.of(data).fit_to(small)
    Recovery(training, Compiling(small, training, fitted), fitted).settle(small)
    for first, second in zip(before, statistics_of(trained_normalizations(small)), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)
