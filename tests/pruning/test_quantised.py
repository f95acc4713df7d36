"""Quantised, mixed-precision and adapted models: followed exactly, or locked with the way out."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest
from keras import layers

from pruning import PruningSpec, apply_plan, make_plan, verify
from pruning.errors import ModelError
from pruning.graph.groups import ChannelGraph
from tests.pruning.models import same, values
from tests.strategies import randomise

pytestmark = pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method:UserWarning")

HALF = PruningSpec(criterion="l1_norm", ratio=0.5)


def images() -> keras.Model:
    inputs = keras.Input((6, 6, 3))
    hidden = layers.BatchNormalization()(layers.Conv2D(8, 3, name="conv")(inputs))
    hidden = layers.Dense(6, activation="relu", name="pixels")(hidden)
    hidden = layers.Dense(8, name="wide")(layers.GlobalAveragePooling2D()(hidden))
    return keras.Model(inputs, layers.Dense(3, name="head")(hidden))


def words() -> keras.Model:
    inputs = keras.Input((5,), dtype="int32")
    hidden = layers.Embedding(10, 8, name="table")(inputs)
    hidden = layers.EinsumDense("abc,cd->abd", (None, 6), bias_axes="d", name="sum")(hidden)
    return keras.Model(inputs, layers.Dense(3, name="head")(layers.GlobalAveragePooling1D()(hidden)))


@pytest.mark.parametrize("mode", ["int8", "float8"])
@pytest.mark.parametrize(
    ("make", "names"), [(images, {"conv", "pixels", "wide"}), (words, {"table", "sum"})], ids=["images", "words"]
)
def test_quantised_layers_are_cut_with_their_scales(mode: str, make, names: set[str], tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    model = make()
    randomise(model, seed=11)
    model.quantize(mode)
    plan = make_plan(model, HALF)
    assert {group.name for group in plan.groups} == names
    small = apply_plan(model, plan)
    proof = verify(model, small, plan)
    assert proof.passed, proof
    assert small.get_layer("head").quantization_mode == mode
    assert small.count_params() == plan.params_after
    small.save(tmp_path / "small.keras")
    assert same(values(small), values(keras.saving.load_model(tmp_path / "small.keras")))


def test_scales_of_int8_are_slices() -> None:
    model = images()
    randomise(model, seed=12)
    model.quantize("int8")
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    keep = {group.name: list(group.keep) for group in plan.groups}
    before, after = (each.get_layer("wide") for each in (model, small))
    scale, small_scale = (keras.ops.convert_to_numpy(layer.kernel_scale) for layer in (before, after))
    assert same([scale[keep["wide"]]], [small_scale])
    kernel, small_kernel = (keras.ops.convert_to_numpy(layer._kernel) for layer in (before, after))
    assert same([kernel[keep["pixels"]][:, keep["wide"]]], [small_kernel])


def test_packed_weights_are_locked_with_the_way_out() -> None:
    inputs = keras.Input((6, 6, 3))
    hidden = layers.Conv2D(8, 3)(layers.Conv2D(8, 3, name="conv")(inputs))
    model = keras.Model(inputs, layers.Dense(3)(layers.Dense(8, name="wide")(hidden)))
    model.quantize("int4")
    plan = make_plan(model, HALF)
    assert [group.name for group in plan.groups] == ["conv"]
    assert "prune first, then quantise" in ChannelGraph(model).locked["wide"]
    assert verify(model, apply_plan(model, plan), plan).passed


def test_adapted_layers_are_locked_with_the_way_out() -> None:
    model = images()
    model.get_layer("wide").enable_lora(2)
    randomise(model, seed=15)
    plan = make_plan(model, HALF)
    assert {group.name for group in plan.groups} == {"conv"}
    assert "LoRA" in ChannelGraph(model).locked["wide"]
    assert verify(model, apply_plan(model, plan), plan).passed


def test_attention_with_quantised_projections_is_refused_with_the_way_out() -> None:
    """Keras saves such a model and cannot load it again."""
    inputs = keras.Input((5, 6))
    hidden = layers.MultiHeadAttention(2, 4)(inputs, inputs)
    hidden = layers.Conv1D(4, 1)(layers.Conv1D(6, 1)(hidden))
    model = keras.Model(inputs, layers.Conv1D(2, 1)(hidden))
    model.quantize("int8")
    plan = make_plan(model, HALF)
    with pytest.raises(ModelError, match="prune first, then quantise"):
        apply_plan(model, plan)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_is_kept_in_every_kind_of_layer(policy: str) -> None:
    inputs = keras.Input((5, 6))
    hidden = layers.EinsumDense("abc,cd->abd", (None, 8), dtype=policy)(inputs)
    hidden = layers.MultiHeadAttention(2, 4, dtype=policy)(hidden, hidden)
    hidden = layers.Bidirectional(layers.GRU(4, return_sequences=True, dtype=policy), dtype=policy)(hidden)
    hidden = layers.TimeDistributed(layers.Dense(4, dtype=policy), dtype=policy)(hidden)
    model = keras.Model(inputs, layers.Dense(2, dtype="float32")(hidden))
    randomise(model, seed=13)
    plan = make_plan(model, HALF)
    small = apply_plan(model, plan)
    before, after = ([layer.dtype_policy.name for layer in each._flatten_layers()] for each in (model, small))
    assert before == after
    assert verify(model, small, plan).passed
