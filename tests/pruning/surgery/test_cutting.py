"""Surgery: what changes, what is kept, and that the given model is left alone."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningPlan, PruningSpec, apply_plan, make_plan, verify
from pruning.errors import ModelError, PlanError
from tests.pruning.models import residual, same, values
from tests.strategies import randomise

HALF = PruningSpec(criterion="l1_norm", ratio=0.5)


def test_widths_are_those_of_the_plan() -> None:
    model = residual()
    small = apply_plan(model, make_plan(model, HALF))
    assert [small.get_layer(name).filters for name in ("stem", "expand", "project")] == [4, 8, 4]


def test_weights_are_slices_of_the_original() -> None:
    model = residual()
    plan = make_plan(model, HALF)
    keep = {group.name: list(group.keep) for group in plan.groups}
    small = apply_plan(model, plan)
    expected = np.asarray(model.get_layer("expand").kernel)[:, :, keep["stem"]][..., keep["expand"]]
    np.testing.assert_array_equal(np.asarray(small.get_layer("expand").kernel), expected)
    expected = np.asarray(model.get_layer("stem_bn").moving_variance)[keep["stem"]]
    np.testing.assert_array_equal(np.asarray(small.get_layer("stem_bn").moving_variance), expected)


def test_the_model_is_left_alone() -> None:
    model = residual()
    before, config = values(model), model.to_json()
    apply_plan(model, make_plan(model, HALF))
    assert same(before, values(model))
    assert model.to_json() == config


def test_names_flags_regularisers_and_compile_settings_are_kept() -> None:
    model = residual(compiled=True)
    model.get_layer("stem_bn").trainable = False
    model.get_layer("expand").kernel_regularizer = keras.regularizers.L2(0.01)
    small = apply_plan(model, make_plan(model, HALF))
    assert small.name == model.name
    assert [layer.name for layer in small.layers] == [layer.name for layer in model.layers]
    assert [layer.trainable for layer in small.layers] == [layer.trainable for layer in model.layers]
    assert float(small.get_layer("expand").kernel_regularizer.l2) == pytest.approx(0.01)
    assert small.loss == "sparse_categorical_crossentropy"
    assert isinstance(small.optimizer, keras.optimizers.SGD)


def test_a_frozen_nested_model_stays_frozen() -> None:
    inner_inputs = keras.Input((4, 4, 3))
    inner = keras.Model(inner_inputs, layers.Conv2D(4, 1)(inner_inputs), name="inner")
    inner.trainable = False
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, layers.Conv2D(1, 1)(inner(inputs)))
    small = apply_plan(model, make_plan(model, HALF))
    assert len(small.trainable_weights) == len(model.trainable_weights) == 2


def test_a_custom_loss_survives() -> None:
    def my_loss(y_true, y_pred):  # type: ignore[no-untyped-def]
        return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    model = residual()
    model.compile("adam", my_loss)
    small = apply_plan(model, make_plan(model, HALF))
    assert small.loss is my_loss


def test_saved_and_loaded_bit_for_bit(tmp_path: Path) -> None:
    model = residual()
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    assert same(values(small), values(loaded))
    assert verify(model, loaded, plan).passed


def test_a_plan_survives_json_and_is_replayed_on_a_retrained_model() -> None:
    model = residual()
    plan = PruningPlan.model_validate_json(make_plan(model, HALF).model_dump_json())
    randomise(model, seed=7)
    assert verify(model, apply_plan(model, plan), plan).passed


def test_a_plan_for_another_architecture_is_refused() -> None:
    with pytest.raises(PlanError, match="another architecture"):
        apply_plan(residual(width=6), make_plan(residual(), HALF))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_policies_are_kept(policy: str) -> None:
    inputs = keras.Input((4, 4, 2))
    hidden = layers.Conv2D(6, 1, dtype=policy)(inputs)
    model = keras.Model(inputs, layers.Conv2D(2, 1, dtype="float32")(hidden))
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    assert small.layers[1].dtype_policy.name == policy
    assert verify(model, small, plan).passed


def test_an_adapted_normalization_goes_on_normalising() -> None:
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(0).normal(50, 3, (200, 6)))
    model = keras.Sequential([keras.Input((6,)), normalization, layers.Dense(8), layers.Dense(2)])
    small = apply_plan(model, make_plan(model, HALF))
    np.testing.assert_array_equal(np.asarray(small.layers[0].mean), np.asarray(normalization.mean))


def test_own_functions_with_names_that_keras_knows_are_kept() -> None:
    def relu(x):  # type: ignore[no-untyped-def]
        return keras.ops.maximum(x, 0) + 0.1 * x

    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, activation=relu), layers.Dense(8), layers.Dense(3)])
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    assert small.layers[0].activation is relu
    assert verify(model, small, plan).passed


def test_lambdas_initializers_and_constraints_of_ones_own_are_kept() -> None:
    def halve(x):  # type: ignore[no-untyped-def]
        return x / 2

    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, kernel_constraint=halve, kernel_regularizer=lambda x: keras.ops.sum(x)),
            layers.Dense(8, kernel_initializer=lambda shape, dtype=None: keras.ops.ones(shape, dtype)),
            layers.Lambda(halve),
            layers.Dense(3),
        ]
    )
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    assert small.layers[0].kernel_constraint is halve
    assert verify(model, small, plan).passed


def test_losses_that_share_a_name_stay_apart() -> None:
    def weighted(weight: float):  # type: ignore[no-untyped-def]
        def loss(y_true, y_pred):  # type: ignore[no-untyped-def]
            return weight * keras.ops.mean((y_true - y_pred) ** 2, axis=-1)

        return loss

    inputs = keras.Input((6,))
    hidden = layers.Dense(8)(inputs)
    model = keras.Model(inputs, [layers.Dense(1, name="a")(hidden), layers.Dense(1, name="b")(hidden)])
    model.compile("sgd", {"a": weighted(1.0), "b": weighted(10.0)})
    assert apply_plan(model, make_plan(model, HALF)).loss == model.loss


def test_an_initializer_that_holds_an_array_does_not_keep_the_file_from_loading(tmp_path: Path) -> None:
    bias = keras.initializers.Constant(np.arange(8.0))
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, bias_initializer=bias), layers.Dense(3)])
    small = apply_plan(model, make_plan(model, HALF))
    small.save(tmp_path / "small.keras")
    assert same(values(small), values(keras.saving.load_model(tmp_path / "small.keras")))


def test_single_frozen_weights_stay_frozen() -> None:
    model = residual()
    model.get_layer("expand").kernel.trainable = False
    small = apply_plan(model, make_plan(model, HALF))
    assert not small.get_layer("expand").kernel.trainable
    assert small.get_layer("expand").bias.trainable


def test_a_stateful_layer_is_copied() -> None:
    model = keras.Sequential(
        [keras.Input(batch_shape=(2, 5, 6)), layers.LSTM(4, stateful=True), layers.Dense(8), layers.Dense(3)]
    )
    plan = make_plan(model, HALF)
    assert verify(model, apply_plan(model, plan), plan).passed


def test_a_layer_that_cannot_be_made_anew_is_named() -> None:
    class Mine(layers.Layer):
        def __init__(self, factor):  # type: ignore[no-untyped-def]
            super().__init__(name="mine")
            self.factor = factor

        def get_config(self):  # type: ignore[no-untyped-def]
            return {"name": "mine"}

        def call(self, inputs):  # type: ignore[no-untyped-def]
            return inputs * self.factor

    model = keras.Sequential([keras.Input((6,)), layers.Dense(8), layers.Dense(8), Mine(2.0), layers.Dense(3)])
    with pytest.raises(ModelError, match="'mine' cannot be made anew"):
        apply_plan(model, make_plan(model, HALF))


def test_a_weight_of_two_layers_is_refused() -> None:
    class Twin(layers.Layer):
        def __init__(self, other):  # type: ignore[no-untyped-def]
            super().__init__()
            self.other = other

        def call(self, inputs):  # type: ignore[no-untyped-def]
            return self.other(inputs)

    shared = layers.Dense(6)
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(3)(Twin(shared)(shared(inputs))))
    with pytest.raises(ModelError, match="share a weight"):
        make_plan(model, HALF)


def test_a_nested_model_called_with_a_dict_gets_its_inputs_right() -> None:
    z, a = keras.Input((6,), name="z"), keras.Input((6,), name="a")
    inner = keras.Model([z, a], layers.Concatenate()([layers.Dense(8)(z), layers.Dense(6)(a)]))
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(3)(inner({"a": layers.Dense(6)(inputs), "z": layers.Dense(6)(inputs)})))
    randomise(model, seed=0)
    plan = make_plan(model, PruningSpec(criterion="random", ratio=0.5))
    assert len(plan.groups) == 4
    assert verify(model, apply_plan(model, plan), plan).passed


def test_a_plan_edited_by_hand_is_refused() -> None:
    model = residual()
    plan = make_plan(model, HALF)
    renamed = plan.groups[0].model_copy(update={"name": "other"})
    with pytest.raises(PlanError, match="not those of the model"):
        apply_plan(model, plan.model_copy(update={"groups": (renamed, *plan.groups[1:])}))
