"""Surgery: what changes, what is kept, and that the given model is left alone."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningPlan, PruningSpec, apply_plan, make_plan, verify
from pruning.errors import PlanError
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
