"""The optimizer's state after surgery: training goes on as if the removed channels had been masked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from pruning import PruningSpec, apply_plan, make_plan
from pruning.graph.groups import ChannelGraph
from pruning.surgery.cutting import kept_channels
from pruning.surgery.rebuild import copy_model
from tests.pruning.models import blobs, same, values
from tests.strategies import randomise

HALF = PruningSpec(criterion="l1_norm", ratio=0.5)
IMAGES, LABELS = blobs(32)

ENTRYWISE: dict[str, Callable[[], Any]] = {
    "sgd": lambda: optimizers.SGD(0.05),
    "momentum": lambda: optimizers.SGD(0.05, momentum=0.9),
    "nesterov": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: optimizers.Adam(0.01),
    "amsgrad": lambda: optimizers.Adam(0.01, amsgrad=True),
    "adamw": lambda: optimizers.AdamW(0.01, weight_decay=0.1),
    "rmsprop": lambda: optimizers.RMSprop(0.01),
    "rmsprop centered": lambda: optimizers.RMSprop(0.01, momentum=0.9, centered=True),
    "lion": lambda: optimizers.Lion(0.001),
    "adagrad": lambda: optimizers.Adagrad(0.05),
    "adadelta": lambda: optimizers.Adadelta(1.0),
    "nadam": lambda: optimizers.Nadam(0.01),
    "adamax": lambda: optimizers.Adamax(0.01),
    "ftrl": lambda: optimizers.Ftrl(0.01),
    "averaged": lambda: optimizers.SGD(0.05, momentum=0.9, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2),
    "accumulating": lambda: optimizers.Adam(0.01, gradient_accumulation_steps=2),
    "scaled": lambda: optimizers.LossScaleOptimizer(optimizers.SGD(0.05, momentum=0.9), initial_scale=8.0),
    "schedule": lambda: optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 1, 0.5), momentum=0.9),
}
"""Optimizers that treat each entry of a weight on its own, so that a removed channel has no part in the others."""


def network() -> keras.Model:
    """A residual block without a bias before a BatchNormalization.

    The gradient of such a bias is rounding noise, which Adam and its like blow up to full steps.
    """
    inputs = keras.Input((8, 8, 3))
    stem = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(inputs)
    hidden = shortcut = layers.ReLU()(layers.BatchNormalization(name="stem_bn")(stem))
    hidden = layers.Conv2D(16, 3, padding="same", use_bias=False, name="expand")(hidden)
    hidden = layers.ReLU()(layers.BatchNormalization(name="expand_bn")(hidden))
    hidden = layers.Add()([shortcut, layers.Conv2D(8, 3, padding="same", name="project")(hidden)])
    hidden = layers.Dense(6, activation="tanh", name="hidden")(layers.GlobalAveragePooling2D()(hidden))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax", name="head")(hidden))
    randomise(model, seed=1)
    return model


def trained(optimizer: Any, *, num_steps: int = 3, frozen: str | None = None) -> keras.Model:
    """Return a model in the middle of a training, with momenta that are not zero."""
    model = network()
    if frozen is not None:
        model.get_layer(frozen).trainable = False
    model.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
    step(model, num_steps)
    return model


def state(model: keras.Model) -> list[np.ndarray]:
    return [np.array(variable) for variable in model.optimizer.variables]


def step(model: keras.Model, num_steps: int, after: Callable[[], None] = lambda: None) -> None:
    for index in range(num_steps):
        start = 8 * (index % 4)
        model.train_on_batch(IMAGES[start : start + 8], LABELS[start : start + 8])
        after()


def mask_where_read(model: keras.Model, plan: Any) -> Callable[[], None]:
    """Return a function that zeroes what reads a removed channel: weights, and what the optimizer will write to them.

    The gradient of the channel itself is zero then, whatever its batch statistics do.
    """
    graph = ChannelGraph(model)
    stays = graph.stays(kept_channels(graph, plan))
    reading = [axis for axis in graph.axes("in") if not stays[axis.labels].all()]
    assert reading

    def mask() -> None:
        for axis in reading:
            variable = axis.layer.variables[axis.variable_index]
            shape = [1] * len(variable.shape)
            shape[axis.axis] = -1
            variable.assign(np.array(variable) * stays[axis.labels].reshape(shape))

    return mask


def cut(model: keras.Model, plan: Any) -> list[np.ndarray]:
    """Return the model's values without the removed channels."""
    graph = ChannelGraph(model)
    stays = graph.stays(kept_channels(graph, plan))
    kept = []
    for layer in model.layers:
        own = [np.array(variable) for variable in layer.variables]
        for axis in graph.axes_of(layer):
            own[axis.variable_index] = np.compress(stays[axis.labels], own[axis.variable_index], axis.axis)
        kept += own
    return kept


@pytest.mark.parametrize("name", ENTRYWISE)
def test_three_steps_are_those_of_the_masked_original(name: str) -> None:
    model = trained(ENTRYWISE[name]())
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    small.run_eagerly = True
    mask = mask_where_read(model, plan)
    mask()
    step(small, 3)
    step(model, 3, mask)
    assert int(small.optimizer.iterations) == int(model.optimizer.iterations) > 0
    for expected, actual in zip(cut(model, plan), values(small), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["momentum", "adam", "averaged", "scaled"])
def test_each_live_parameter_has_its_own_slots_and_uses_them(name: str) -> None:
    model = trained(ENTRYWISE[name](), frozen="expand")
    small = apply_plan(model, make_plan(model, HALF))
    optimizer = getattr(small.optimizer, "inner_optimizer", small.optimizer)
    assert [id(each) for each in optimizer._trainable_variables] == [id(each) for each in small.trainable_variables]
    assert not any("expand_kernel" in variable.path for variable in optimizer.variables)
    slots = [slot for slot in optimizer.variables if len(slot.shape) > 0]
    assert {slot.shape for slot in slots} == {variable.shape for variable in small.trainable_variables}
    before = [np.array(slot) for slot in slots]
    assert all(np.any(slot != 0) for slot in before)
    step(small, 1)
    assert all(np.any(np.array(slot) != old) for slot, old in zip(slots, before, strict=True))


def test_slots_are_slices_and_the_given_optimizer_is_left_alone() -> None:
    model = trained(optimizers.SGD(0.05, momentum=0.9))
    before = state(model)
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    keep = {group.name: list(group.keep) for group in plan.groups}
    momentum = dict(zip([each.path for each in small.trainable_variables], small.optimizer.momentums, strict=True))
    original = dict(zip([each.path for each in model.trainable_variables], model.optimizer.momentums, strict=True))
    expected = np.array(original["expand/kernel"])[:, :, keep["stem"]][..., keep["expand"]]
    np.testing.assert_array_equal(np.array(momentum["expand/kernel"]), expected)
    assert same(before, state(model))


def test_layers_frozen_after_the_optimizer_was_built_keep_its_order() -> None:
    model = trained(optimizers.SGD(0.05, momentum=0.9))
    model.get_layer("stem").trainable = False
    small = apply_plan(model, make_plan(model, HALF))
    assert len(small.trainable_variables) < len(small.optimizer.momentums) == len(model.optimizer.momentums)
    if keras.backend.backend() == "tensorflow":  # JAX trains on with no optimizer that knows of more variables.
        step(small, 1)


def test_an_optimizer_that_is_not_built_stays_so() -> None:
    model = trained("adam", num_steps=0)
    small = apply_plan(model, make_plan(model, HALF))
    assert not model.optimizer.built
    assert not small.optimizer.built


def test_what_is_no_slot_is_carried_too() -> None:
    model = trained(optimizers.LossScaleOptimizer(optimizers.Nadam(0.01), initial_scale=8.0, dynamic_growth_steps=2))
    model.optimizer.learning_rate = 0.25
    small = apply_plan(model, make_plan(model, HALF))
    assert float(small.optimizer.dynamic_scale) == float(model.optimizer.dynamic_scale) == 16.0
    assert int(small.optimizer.iterations) == 3
    assert float(small.optimizer.learning_rate) == 0.25
    product = float(model.optimizer.inner_optimizer._u_product)
    assert float(small.optimizer.inner_optimizer._u_product) == product
    assert product < 1 or keras.backend.backend() == "jax"  # where Keras 3.15 loses it


@pytest.mark.parametrize("num_steps", [0, 1])
def test_a_learning_rate_set_after_compiling_is_kept(num_steps: int) -> None:
    model = trained("adam", num_steps=num_steps)
    model.optimizer.learning_rate = 0.25
    assert float(apply_plan(model, make_plan(model, HALF)).optimizer.learning_rate) == 0.25


@pytest.mark.parametrize("num_steps", [0, 1])
def test_weights_excluded_from_decay_stay_excluded(num_steps: int) -> None:
    model, optimizer = network(), optimizers.AdamW(0.01, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[model.get_layer("hidden").kernel], var_names=["gamma"])
    model.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
    step(model, num_steps)
    small = apply_plan(model, make_plan(model, HALF))
    decays = {each.path: small.optimizer._use_weight_decay(each) for each in small.trainable_variables}
    assert {path for path, decay in decays.items() if not decay} == {
        "hidden/kernel",
        "stem_bn/gamma",
        "expand_bn/gamma",
    }


def test_the_name_of_a_slot_does_not_tell_whose_it_is() -> None:
    with keras.name_scope("a"):
        nested = keras.Variable(np.zeros(2), name="b")
    optimizer = optimizers.SGD(0.05, momentum=0.9)
    optimizer.build([nested, keras.Variable(np.zeros(2), name="a_b")])
    first, second = optimizer.momentums
    assert first.path == second.path


def test_muon_keeps_its_momenta() -> None:
    model = trained(optimizers.Muon(0.01, exclude_layers=["head"]))
    small = apply_plan(model, make_plan(model, HALF))
    assert [slot is None for slot in small.optimizer.adam_velocities] == [
        slot is None for slot in model.optimizer.adam_velocities
    ]
    assert all(np.any(np.array(slot) != 0) for slot in small.optimizer.momentums)
    step(small, 1)


def test_several_optimizers_in_one_keep_their_momenta() -> None:
    inner = optimizers.OptimizerMap(optimizers.SGD(0.05, momentum=0.9))
    inner["head/.*"] = optimizers.Adam(0.01)
    model = trained(optimizers.MultiOptimizer(inner))
    small = apply_plan(model, make_plan(model, HALF))
    assert [type(each).__name__ for each in small.optimizer.optimizers] == ["Adam", "SGD"]
    assert all(np.any(np.array(slot) != 0) for slot in small.optimizer.optimizers[1].momentums)
    step(small, 1)


def test_adafactor_starts_afresh_where_weights_are_cut_and_goes_on_in_a_copy() -> None:
    model = trained(optimizers.Adafactor(0.01, epsilon_1=1e-10))
    small = apply_plan(model, make_plan(model, HALF))
    assert isinstance(small.optimizer, optimizers.Adafactor)
    assert not small.optimizer.built
    step(small, 1)
    copy = copy_model(model)
    assert same(
        [np.array(each) for each in model.optimizer.variables], [np.array(each) for each in copy.optimizer.variables]
    )


def test_the_state_survives_saving(tmp_path: Path) -> None:
    model = trained(optimizers.Adam(0.01))
    small = apply_plan(model, make_plan(model, HALF))
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    loaded.run_eagerly = small.run_eagerly = True
    step(small, 2)
    step(loaded, 2)
    assert same(values(small), values(loaded))
