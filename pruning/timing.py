"""How long one call takes before and after a prune, in Keras and in the runtimes of export formats."""

from __future__ import annotations

import statistics
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pruning.errors import first_line
from pruning.export.latency import calls_of, seconds_in_turns
from pruning.keras_model.parts import layers_inside
from pruning.keras_model.weights import read_weights
from pruning.report import CallTime, PruningReport, StepReport
from pruning.spec import LatencyTarget, PruningSpec, Runtime

_MAX_SECONDS = 1.0
_NUM_WARMUPS, _LEAST_CALLS, _MOST_CALLS = 2, 3, 100

BeforeAndAfter = tuple[CallTime, CallTime]


def with_latency(report: PruningReport, original: keras.Model, delivered: keras.Model) -> PruningReport:
    """Return a report that tells how long one call takes before and after.

    Args:
        report: Its spec says where, besides Keras, and with how many samples in one call.
        original: The model of the first row.
        delivered: The model of the last row, and of the one that was restored.

    Returns:
        The report with `latency` in those rows, and with a note for each runtime in which a model could not be timed.
    """
    runtimes, batch_size = _asked(report.pruning)
    timed, notes = timed_beside(original, delivered, runtimes, batch_size)
    before, after = ({name: pair[number] for name, pair in timed.items()} for number in (0, 1))

    def told(number: int, row: StepReport) -> StepReport:
        if number == 0:
            return row.model_copy(update={"latency": before})
        is_delivered = number == len(report.steps) - 1 or row.step == "restoring"
        return row.model_copy(update={"latency": after}) if is_delivered else row

    steps = tuple(told(number, row) for number, row in enumerate(report.steps))
    return report.model_copy(update={"steps": steps, "notes": (*report.notes, *notes)})


def timed_beside(
    original: keras.Model, delivered: keras.Model, runtimes: Sequence[Runtime] = ("keras",), batch_size: int = 1
) -> tuple[dict[Runtime, BeforeAndAfter], tuple[str, ...]]:
    """Time one call of two models in turns, so that a machine that is busy is so for both.

    In each runtime the timed calls take about a second in all; a model that takes long for one is called fewer times,
    three times at least. Inputs are random; an axis of unknown size has 32.

    Args:
        original: A functional or Sequential model; its weights are not changed.
        delivered: Another.
        runtimes: What runs them: Keras on its present backend, or the runtimes of export formats.
        batch_size: Samples in one call, unless the model has a batch size of its own.

    Returns:
        Runtime → the times of both, and a line for each runtime in which they could not be timed that says why.
    """
    timed, notes = {}, []
    for runtime in runtimes:
        try:
            timed[runtime] = _timed_in(runtime, (original, delivered), batch_size)
        except Exception as error:  # noqa: BLE001 - each runtime has its own; the note has it, and the prune is done.
            notes.append(f"one call was not timed in {runtime}: {type(error).__name__}: {first_line(error)}")
    return timed, tuple(notes)


def _timed_in(runtime: Runtime, models: Sequence[keras.Model], batch_size: int) -> BeforeAndAfter:
    with tempfile.TemporaryDirectory() as directory, _states_restored(models):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The converters warn of their own deprecated parts.
            calls, sizes = calls_of(models, Path(directory), runtime, batch_size=batch_size)
        times = seconds_in_turns(
            calls,
            num_warmups=_NUM_WARMUPS,
            num_calls=_MOST_CALLS,
            max_seconds=_MAX_SECONDS,
            least_calls=_LEAST_CALLS,
        )
    before, after = (_call_time(seconds, size) for seconds, size in zip(times, sizes, strict=True))
    return before, after


@contextmanager
def _states_restored(models: Sequence[keras.Model]) -> Iterator[None]:
    """Leave no trace of random inputs in what a call moves on, such as the states of recurrent layers."""
    moved = [variable for model in models for variable in [*model.non_trainable_variables, *_recurrent_states(model)]]
    states = [(variable, np.array(read_weights(variable))) for variable in moved]
    try:
        yield
    finally:
        for variable, value in states:
            variable.assign(value)


def _recurrent_states(model: keras.Model) -> list[Any]:
    """Return variables that Keras does not count among those of the model."""
    return [
        state
        for layer in layers_inside(model)
        for state in keras.tree.flatten(getattr(layer, "states", None))
        if state is not None
    ]


def _call_time(seconds: list[float], batch_size: int) -> CallTime:
    first, median, third = statistics.quantiles(seconds, n=4, method="inclusive")
    return CallTime(
        median_seconds=median,
        first_quartile_seconds=first,
        third_quartile_seconds=third,
        num_calls=len(seconds),
        batch_size=batch_size,
    )


def _asked(spec: PruningSpec) -> tuple[tuple[Runtime, ...], int]:
    """Return where to time, and with how many samples in one call."""
    target = spec.target_latency if isinstance(spec.target_latency, LatencyTarget) else None
    runtimes: list[Runtime] = ["keras", *([] if target is None else [target.runtime]), *spec.runtimes]
    return tuple(dict.fromkeys(runtimes)), 1 if target is None else target.batch_size
