"""Params, multiply-accumulates, file bytes and seconds for one call."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import keras

from pruning.export.latency import LEAST_CALLS, calls_of, seconds_in_turns
from pruning.graph.groups import ChannelGraph, Keep
from pruning.keras_model.optimizer_state import without_state
from pruning.plan import LayerPlan
from pruning.spec import Runtime


def plan_layers(graph: ChannelGraph, keep: Keep, why: Mapping[str, str] | None = None) -> tuple[LayerPlan, ...]:
    """Return one row for each layer that has weights, before and after a prune.

    Args:
        graph: The traced model.
        keep: What stays of it.
        why: Group → what decides how many of its channels stay.
    """
    before, after = graph.stays({}), graph.stays(keep)
    params, macs = zip(*((graph.params(stays), graph.macs(stays)) for stays in (before, after)), strict=True)
    rows = []
    for path, layer in graph.records.layers.values():
        if path not in params[0]:
            continue
        own = [axis for axis in graph.axes_of(layer) if axis.role != "in"]
        locked = graph.locked.get(path)
        groups = graph.groups_on(own[-1]) if own else ()
        reasons = [locked or "", *((why or {}).get(group.name, "") for group in groups)]
        rows.append(
            LayerPlan(
                path=path,
                kind=type(layer).__name__,
                channels_before=len(own[-1].labels) if own else None,
                channels_after=int(after[own[-1].labels].sum()) if own else None,
                params_before=params[0][path],
                params_after=params[1][path],
                macs_before=macs[0].get(path, 0),
                macs_after=macs[1].get(path, 0),
                locked=locked,
                why="; ".join(dict.fromkeys(filter(None, reasons))),
            )
        )
    return tuple(rows)


@dataclass(frozen=True)
class Reach:
    """How much of a model pruning can reach.

    Attributes:
        num_params: Scalars in all kernels, the weights of at least two axes.
        num_prunable: Scalars in those kernels that lose some of them when a channel of some group goes.
        reasons: Path of each layer with a kernel that pruning cannot reach → why.
    """

    num_params: int
    num_prunable: int
    reasons: dict[str, str]

    @property
    def share(self) -> float:
        """Prunable share of the parameters, 1 for a model without kernels."""
        return self.num_prunable / self.num_params if self.num_params else 1.0


def reach(graph: ChannelGraph) -> Reach:
    """Measure how much of a model's convolution, dense and similar kernels lies in prunable groups."""
    reasons = {}
    num_params = num_prunable = 0
    for path, layer in graph.records.layers.values():
        within = {axis.variable_index for axis in graph.axes_of(layer) if graph.can_shrink(axis)}
        for index, variable in enumerate(graph.counted_variables(layer)):
            if not variable.is_weight or len(variable.shape) < 2:
                continue
            size = math.prod(variable.shape)
            num_params += size
            num_prunable += size if index in within else 0
            if index not in within:
                reasons[path] = graph.locked.get(path, "all that it reads and makes must stay")
    return Reach(num_params, num_prunable, reasons)


def file_size_bytes(model: keras.Model, *, optimizer: bool = False) -> int:
    """Return the size of the model's `.keras` file.

    Args:
        model: It is not changed.
        optimizer: Whether the state of its optimizer counts, if that is built.
    """
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
