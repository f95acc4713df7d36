"""Latency: measured, and as a target, with a model whose time is made up."""

from __future__ import annotations

import typing
from typing import Any

import keras
import pytest
from keras import layers

import pruning.selection.goals
from pruning import PruningSpec, make_plan
from pruning.catalog import EXPORT_FORMATS
from pruning.errors import InfeasibleError
from pruning.measure import Latency, latency
from pruning.spec import Runtime
from tests.pruning.models import residual


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let each parameter of a model take a microsecond."""
    seconds: list[float] = []

    def timed(model: Any, *, batch_size: int, runtime: str, beside: Any = None) -> Latency:
        seconds.append(1e-6 * batch_size * model.count_params())
        # The machine becomes twice as slow after the first measurement.
        slow = 1 if beside is None else 2
        seconds_beside = None if beside is None else slow * seconds[0]
        return Latency(slow * seconds[-1], 0.0, "keras", batch_size, 5, seconds_beside)

    monkeypatch.setattr(pruning.selection.goals, "latency", timed)
    return seconds


@pytest.mark.parametrize("asked", [0.5, {"seconds": 0.0014}, {"share": 0.5, "batch_size": 8}])
def test_the_widest_model_that_is_fast_enough_is_found(clock: list[float], asked: Any) -> None:
    model = residual(width=12)
    plan = make_plan(model, PruningSpec(target_latency=asked))
    batch_size = asked.get("batch_size", 1) if isinstance(asked, dict) else 1
    limit = asked["seconds"] if isinstance(asked, dict) and "seconds" in asked else 0.5 * clock[0]
    assert 0.85 * limit < 1e-6 * batch_size * plan.params_after <= 1.01 * limit
    assert len(clock) <= 11
    assert all(group.why.startswith("target_latency") for group in plan.groups)


def test_a_limit_that_counts_is_taken_first(clock: list[float]) -> None:
    plan = make_plan(residual(), PruningSpec(target_latency=0.9, target_params=0.4))
    assert plan.params_after <= 0.4 * plan.params_before
    assert len(clock) == 2


def test_too_slow_at_any_width_is_infeasible(clock: list[float]) -> None:
    with pytest.raises(InfeasibleError, match="fast enough") as caught:
        make_plan(residual(), PruningSpec(target_latency=0.01))
    assert caught.value.nearest["target_latency"] > 0


def test_a_measurement_that_was_disturbed_is_no_reason_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    factors = iter([1, 9, 9, 9, 1])  # The original, the order's begin, and the smallest model three times.

    def timed(model: Any, *, batch_size: int, runtime: str, beside: Any = None) -> Latency:
        seconds = 1e-6 * model.count_params()
        beside_seconds = None if beside is None else 1e-6 * beside.count_params()
        return Latency(next(factors, 1) * seconds, 0.0, "keras", batch_size, 5, beside_seconds)

    monkeypatch.setattr(pruning.selection.goals, "latency", timed)
    plan = make_plan(residual(), PruningSpec(target_latency=0.3))
    assert plan.params_after <= 0.31 * plan.params_before


def test_runtimes_are_those_of_the_export_formats() -> None:
    assert set(typing.get_args(Runtime)) == set(EXPORT_FORMATS)


def test_latency_is_measured_for_any_inputs() -> None:
    left, right = keras.Input((None, None, 3), name="left"), keras.Input((4,), dtype="int32", name="right")
    hidden = layers.Concatenate()([layers.GlobalAveragePooling2D()(left), layers.Rescaling(1.0)(right)])
    model = keras.Model({"left": left, "right": right}, layers.Dense(2)(hidden))
    timed = latency(model, batch_size=3, num_calls=6, beside=model)
    assert timed.seconds_beside is not None
    assert timed.seconds > 0
    assert timed.spread >= 0
    assert (timed.num_calls, timed.batch_size, timed.runtime) == (6, 3, "keras")
