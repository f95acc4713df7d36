"""Architectures of `keras.applications`, some whole and some small, pruned by half.

`python -m benchmarks.zoo` does the same with all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import pytest
from keras.src.applications import convnext, densenet, efficientnet, efficientnet_v2

from pruning import PruningSpec, apply_plan, make_plan, verify
from pruning.counting.reach import reach
from pruning.graph.groups import ChannelGraph
from tests.zoo import build, randomise, smallest_size


@pytest.mark.parametrize(
    ("name", "criterion"),
    [("VGG16", "random"), ("MobileNetV2", "l1_norm")],
)
def test_half_of_an_architecture(name: str, criterion: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = build(name, smallest_size(name))
    plan = make_plan(model, PruningSpec(criterion=criterion, ratio=0.5))
    randomise(model, plan)
    small = apply_plan(model, plan)
    proof = verify(model, small, plan)
    assert proof.passed, proof
    assert proof.output_spread > 1e-3, "the output hardly depends on the input: the proof would say little"
    assert small.count_params() == plan.params_after < 0.4 * plan.params_before
    small.save(tmp_path / "small.keras")
    again = keras.saving.load_model(tmp_path / "small.keras")
    assert verify(model, again, plan).passed


SMALL_ONES: dict[str, Callable[[], keras.Model]] = {
    "ConvNeXt": lambda: convnext.ConvNeXt(
        (1, 1, 1, 1), (8, 16, 32, 64), weights=None, input_shape=(32, 32, 3), name="convnext_tiny"
    ),
    "DenseNet": lambda: densenet.DenseNet((2, 2, 2, 2), weights=None, input_shape=(32, 32, 3)),
    "EfficientNet": lambda: efficientnet.EfficientNet(0.2, 0.2, 32, weights=None, input_shape=(32, 32, 3)),
    "EfficientNetV2": lambda: efficientnet_v2.EfficientNetV2(
        0.2, 0.2, 32, weights=None, input_shape=(32, 32, 3), name="efficientnetv2-b0"
    ),
}


@pytest.mark.parametrize("family", SMALL_ONES)
def test_a_small_one_of_other_families(family: str) -> None:
    keras.utils.set_random_seed(0)
    model = SMALL_ONES[family]()
    assert reach(ChannelGraph(model)).share == 1.0
    plan = make_plan(model, PruningSpec(criterion="random", ratio=0.5))
    randomise(model, plan)
    proof = verify(model, apply_plan(model, plan), plan)
    assert proof.passed, proof
    assert proof.output_spread > 1e-3
