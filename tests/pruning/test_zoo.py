"""One architecture of each kind in `keras.applications`, whole, pruned by half, saved and loaded.

`python -m benchmarks.zoo` does the same with all of them.
"""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from pruning import PruningSpec, apply_plan, make_plan, verify
from tests.zoo import build, randomise_statistics, smallest_size


@pytest.mark.parametrize(
    ("name", "criterion"),
    [
        ("VGG16", "random"),
        ("ResNet50", "l1_norm"),
        ("DenseNet121", "random"),
        ("MobileNetV3Small", "l1_norm"),
        ("ConvNeXtTiny", "random"),
    ],
)
def test_half_of_an_architecture(name: str, criterion: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = build(name, smallest_size(name))
    randomise_statistics(model)
    plan = make_plan(model, PruningSpec(criterion=criterion, ratio=0.5))
    small = apply_plan(model, plan)
    proof = verify(model, small, plan)
    assert proof.passed, proof
    assert proof.precision == "float32"
    assert proof.output_spread > 1e-3, "the output hardly depends on the input: the proof would say little"
    assert small.count_params() == plan.params_after < 0.4 * plan.params_before
    small.save(tmp_path / "small.keras")
    again = keras.saving.load_model(tmp_path / "small.keras")
    assert verify(model, again, plan).passed
