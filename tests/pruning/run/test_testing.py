"""The test set is measured once, at the end, and decides nothing."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import pruning
from pruning.datasets.data import Data
from pruning.errors import DataError
from pruning.report import PruningReport
from tests.pruning.models import blobs, residual

SPEC = {"ratio": 0.5, "criterion": "l1_norm"}
TRAINING = {"fine_tuning_epochs": 1, "augmentation": {}}


def arrays(**more: np.ndarray) -> dict[str, np.ndarray]:
    (x_train, y_train), (x_val, y_val) = blobs(48), blobs(24, seed=1)
    return {"x_train": x_train, "y_train": y_train, "x_val": x_val, "y_val": y_val, **more}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return residual(compiled=True)


@pytest.fixture(scope="module")
def tested(model: keras.Model) -> pruning.PruningResult:
    x_test, y_test = blobs(30, seed=2)
    return pruning.prune(model, SPEC, arrays(x_test=x_test, y_test=y_test), training=TRAINING)


def test_both_models_are_measured_as_keras_measures_them(model: keras.Model, tested: pruning.PruningResult) -> None:
    x_test, y_test = blobs(30, seed=2)
    assert tested.report.test is not None
    assert tested.report.test.num_samples == 30
    for measured, found in ((model, tested.report.test.before), (tested.model, tested.report.test.after)):
        expected = measured.evaluate(x_test, y_test, verbose=0, return_dict=True)
        assert found == pytest.approx({f"test_{name}": value for name, value in expected.items()}, rel=1e-4)


def test_it_decides_nothing(model: keras.Model, tested: pruning.PruningResult) -> None:
    without = pruning.prune(model, SPEC, arrays(), training=TRAINING)
    assert without.report.test is None
    for ours, theirs in zip(without.model.get_weights(), tested.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [step.metrics for step in without.report.steps] == [step.metrics for step in tested.report.steps]


def test_the_report_keeps_it(tested: pruning.PruningResult) -> None:
    assert PruningReport.model_validate_json(tested.report.model_dump_json()).test == tested.report.test


@pytest.mark.parametrize("part", ["x_test", "y_test"])
def test_half_a_test_set_is_refused(part: str) -> None:
    x_test, y_test = blobs(30, seed=2)
    with pytest.raises(DataError, match=r"test arrays have different numbers|y_train is missing"):
        Data.of(arrays(**({"x_test": x_test} if part == "x_test" else {"y_test": y_test})))
