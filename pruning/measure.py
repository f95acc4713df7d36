"""File bytes, and seconds for one call."""

from __future__ import annotations

import statistics
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import keras

from pruning.export.latency import LEAST_CALLS, calls_of, seconds_in_turns
from pruning.keras_model.learning_rate import require_config
from pruning.keras_model.optimizer_state import without_state
from pruning.spec import Runtime


def file_size_bytes(model: keras.Model, *, optimizer: bool = False) -> int:
    """Return the size of the model's `.keras` file.

    Args:
        model: It is not changed.
        optimizer: Whether the state of its optimizer counts, if that is built.

    Raises:
        ModelError: The optimizer of a compiled model has no config: Keras cannot save the model.
    """
    if model.compiled and isinstance(model.optimizer, keras.Optimizer):
        require_config(model.optimizer)
    with tempfile.TemporaryDirectory() as directory, nullcontext() if optimizer else without_state(model):
        path = Path(directory) / "model.keras"
        model.save(path)
        return path.stat().st_size


@dataclass(frozen=True)
class Latency:
    """How long a model takes.

    Attributes:
        seconds: Median of one call with `batch_size` samples.
        spread: Half the range of the middle half of the calls, as a share of the median: what a difference
            between two models has to exceed to mean anything.
        runtime: What ran the model.
        batch_size: Samples in one call.
        num_calls: Calls that were timed.
        seconds_beside: The same of the model that was timed in turns with it.
        spread_beside: The spread of that model's calls.
    """

    seconds: float
    spread: float
    runtime: Runtime
    batch_size: int
    num_calls: int
    seconds_beside: float | None = None
    spread_beside: float | None = None


def latency(
    model: keras.Model,
    *,
    batch_size: int = 1,
    runtime: Runtime = "keras",
    num_warmup: int = 3,
    num_calls: int = 30,
    max_seconds: float = 2.0,
    beside: keras.Model | None = None,
) -> Latency:
    """Measure how long one call of a model takes on this machine, now.

    Calls are timed one by one after a warm-up that also compiles; the median does not mind the few that
    something else on the machine disturbs. What makes the whole machine slower for a while
    is only fair to two models that are timed in turns: see `beside`.

    Args:
        model: A functional or Sequential model; it is not changed.
        batch_size: Samples in one call.
        runtime: What runs the model: Keras on its present backend, or that of an export format.
        num_warmup: Calls that are not timed.
        num_calls: Calls that are timed at most, at least 5.
        max_seconds: No further call is started after this time, once 5 calls are timed.
        beside: Another model to time in turns with it.

    Raises:
        SpecError: The packages of the runtime are not installed.
    """
    models = [model] if beside is None else [model, beside]
    with tempfile.TemporaryDirectory() as directory:
        calls, _ = calls_of(models, Path(directory), runtime, batch_size=batch_size)
        times = seconds_in_turns(
            calls, num_warmups=max(1, num_warmup), num_calls=max(LEAST_CALLS, num_calls), max_seconds=max_seconds
        )
    own, *others = map(_median_and_spread, times)
    seconds_beside, spread_beside = others[0] if others else (None, None)
    return Latency(*own, runtime, batch_size, len(times[0]), seconds_beside, spread_beside)


def _median_and_spread(seconds: list[float]) -> tuple[float, float]:
    quarters = statistics.quantiles(seconds, n=4)
    return quarters[1], (quarters[2] - quarters[0]) / (2 * quarters[1])
