"""How long a call takes before and after: where it is told, and what happens where it cannot be measured."""

from __future__ import annotations

import importlib.util
from typing import Any, get_args

import keras
import numpy as np
import pytest
from keras import layers

from pruning import foresee, prune, timing
from pruning.report import CallTime, StepReport
from pruning.spec import Runtime
from pruning.timing import timed_beside
from tests.pruning.models import blobs, residual

FAST = {"fine_tuning_epochs": 0, "batch_size": 32}


def check(timed: CallTime, batch_size: int = 1) -> None:
    assert 0 < timed.first_quartile_seconds <= timed.median_seconds <= timed.third_quartile_seconds
    assert timed.num_calls >= 3
    assert timed.batch_size == batch_size


def times(steps: tuple[StepReport, ...]) -> list[bool]:
    return [bool(step.latency) for step in steps]


def test_first_and_last_row_tell_how_long_a_call_takes_in_keras() -> None:
    result = prune(residual(compiled=True), {"ratio": 0.25, "num_iterations": 2}, blobs(), training=FAST)
    assert times(result.report.steps) == [True, False, True]
    for row in (result.report.before, result.report.after):
        assert list(row.latency) == ["keras"]
        check(row.latency["keras"])
    assert not any("not timed" in note for note in result.report.notes)


def test_a_restored_model_has_its_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = iter([0.9, 0.9, 0.1, 0.9, 0.9])
    monkeypatch.setattr(
        "pruning.recovery.fitting.Recovery.evaluate",
        lambda self, model: {"val_loss": 1.0, "val_accuracy": next(accuracies)},
    )
    spec = {"ratio": 0.25, "num_iterations": 2, "max_metric_drop": 0.5}
    result = prune(residual(compiled=True), spec, blobs(), training=FAST | {"post_training_epochs": 1})
    assert [step.step for step in result.report.steps][-2:] == ["restoring", "post-training"]
    assert times(result.report.steps) == [True, False, False, True, True]
    assert result.report.steps[-2].latency == result.report.after.latency


@pytest.mark.parametrize("runtime", [name for name in get_args(Runtime) if name != "keras"])
def test_exported_formats_are_timed_where_the_spec_names_them(runtime: Runtime) -> None:
    if keras.backend.backend() != "tensorflow" or (runtime == "onnx" and not importlib.util.find_spec("tf2onnx")):
        pytest.skip("this format cannot be written here")
    result = prune(residual(), {"ratio": 0.5, "runtimes": [runtime, runtime]})
    if any("not timed" in note for note in result.report.notes):
        pytest.skip("; ".join(result.report.notes))
    for row in (result.report.before, result.report.after):
        assert list(row.latency) == ["keras", runtime]
        check(row.latency[runtime])


def test_a_target_says_how_many_samples_there_are_in_a_call() -> None:
    result = prune(residual(), {"ratio": 0.5, "target_latency": {"seconds": 100.0, "batch_size": 3}})
    check(result.report.after.latency["keras"], batch_size=3)
    assert all(step.target_latency_seconds for step in result.report.steps)


def test_a_batch_size_of_the_models_own_is_told() -> None:
    model = keras.Sequential([keras.Input((4,), batch_size=2), layers.Dense(4), layers.Dense(2)])
    check(timed_beside(model, model)[0]["keras"][1], batch_size=2)


def test_both_models_are_timed_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    class Run:
        inputs = ()

        def __init__(self, name: str) -> None:
            self.name = name

        def __call__(self, inputs: Any) -> None:
            called.append(self.name)

    monkeypatch.setattr("pruning.export.latency.open_copy", lambda model, folder, runtime: Run(model.name))
    monkeypatch.setattr("pruning.export.latency.inputs_for", lambda run, batch_size: {"x": np.zeros(batch_size)})
    first, second = (keras.Sequential([keras.Input((1,)), layers.Dense(1)], name=name) for name in ("one", "two"))
    before, after = timed_beside(first, second)[0]["keras"]
    assert before.num_calls == after.num_calls
    timed = called[-2 * before.num_calls :]
    assert timed == ["one", "two"] * before.num_calls


def test_a_slow_model_is_called_only_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_MAX_SECONDS", 0.0)
    model = residual()
    assert timed_beside(model, model)[0]["keras"][0].num_calls == 3


def test_a_model_that_cannot_be_timed_is_told_of_and_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such inputs\nand more")

    monkeypatch.setattr("pruning.export.latency.inputs_for", refuse)
    result = prune(residual(), {"ratio": 0.5})
    assert times(result.report.steps) == [False, False]
    assert "one call was not timed in keras: RuntimeError: no such inputs" in result.report.notes
    assert result.model.count_params() == result.report.after.params


def test_a_forecast_does_not_time_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("timed")

    monkeypatch.setattr(timing, "timed_beside", refuse)
    assert foresee(residual(), {"ratio": 0.5}, is_timed=False).latency is None
    assert times(prune(residual(), {"ratio": 0.5}, is_timed=False).report.steps) == [False, False]


def test_timing_leaves_no_trace_in_states() -> None:
    inputs = keras.Input((3, 2), batch_size=1)
    recurrent = layers.LSTM(4, stateful=True)
    model = keras.Model(inputs, layers.Dense(2)(recurrent(inputs)))
    model.predict_on_batch(np.ones((1, 3, 2), "float32"))
    held = [*model.variables, *recurrent.states]
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in held]
    timed, notes = timed_beside(model, model)
    check(timed["keras"][0])
    assert notes == ()
    assert all(map(np.array_equal, before, [keras.ops.convert_to_numpy(variable) for variable in held]))
