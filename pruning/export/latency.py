"""Open a model where it will be served, and time calls in turns."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pruning.export.base import Named, Runner
from pruning.export.formats import entry_of, require_writable, resolve_format
from pruning.export.keras_archive import KerasRunner, require_own_threads

_UNKNOWN_SIZE = 32
"""Size of axes that may have any."""

LEAST_CALLS = 5
"""Calls that are timed in any case, however long they take."""


def seconds_in_turns(
    calls: Sequence[Callable[[], Any]],
    *,
    num_warmups: int,
    num_calls: int,
    max_seconds: float = math.inf,
    least_calls: int = LEAST_CALLS,
) -> list[list[float]]:
    """Time several functions in turns, so that whatever else the machine does meets all of them alike.

    Args:
        calls: What to time.
        num_warmups: Calls of each before those that are timed.
        num_calls: Timed calls of each, at most.
        max_seconds: No further round is started after this time, once the least calls are timed.
        least_calls: Timed calls of each, at least.

    Returns:
        For each function its seconds, call by call.
    """
    for call in [*calls] * num_warmups:
        call()
    times: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + max_seconds
    while len(times[0]) < num_calls and (len(times[0]) < least_calls or time.perf_counter() < end):
        for call, seconds in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
    return times


def median_seconds(
    calls: Sequence[Callable[[], Any]], *, num_warmups: int = 3, num_calls: int = 20
) -> tuple[float, ...]:
    """Return for each function the median of its seconds; see `seconds_in_turns`."""
    times = seconds_in_turns(calls, num_warmups=num_warmups, num_calls=num_calls)
    return tuple(statistics.median(seconds) for seconds in times)


def open_copy(
    model: keras.Model, directory: Path, format: str, *, precision: str = "float32", num_threads: int | None = None
) -> Runner:
    """Write a model into a folder, whether or not it computes the same there, and open it.

    Raises:
        SpecError: The format, its precision or its packages are not there, or its runtime takes no number of threads.
    """
    require_writable(format, precision)
    if format == "keras":
        require_own_threads(format, num_threads)
        return KerasRunner(model)
    exporter, path = resolve_format(format), directory / f"model{entry_of(format).suffix}"
    samples = [inputs_for(KerasRunner(model), batch_size=1, seed=seed) for seed in range(8)]
    exporter.write(model, path, precision, samples if precision == "int8" else ())
    return exporter.open(path, num_threads=num_threads)


def calls_of(
    models: Sequence[keras.Model], directory: Path, format: str, *, batch_size: int = 1
) -> tuple[list[Callable[[], Any]], list[int]]:
    """Write models into folders of their own and open them, to time them in turns; see `open_copy`.

    Returns:
        For each model what calls it with random inputs, and the samples in one call: its own batch size if it has one.
    """
    calls: list[Callable[[], Any]] = []
    sizes = []
    for number, model in enumerate(models):
        folder = directory / str(number)
        folder.mkdir()
        run = open_copy(model, folder, format)
        inputs = inputs_for(run, batch_size=batch_size)
        calls.append(partial(run, inputs))
        sizes.append(len(next(iter(inputs.values()))))
    return calls, sizes


def inputs_for(runner: Runner, *, batch_size: int = 1, seed: int = 0) -> Named:
    """Return random inputs of the shapes that a runner takes: numbers from 0 to 1, or 0 and 1."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for spec in runner.inputs:
        shape = [_UNKNOWN_SIZE if size is None else size for size in spec.shape[1:]]
        numbers = generator.random((spec.shape[0] or batch_size, *shape))
        arrays[spec.name] = (numbers if spec.dtype.startswith("float") else np.round(numbers)).astype(spec.dtype)
    return arrays
