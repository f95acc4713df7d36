"""Params, multiply-accumulates and file bytes."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras

from pruning.graph.groups import ChannelGraph, Keep
from pruning.plan import LayerPlan


def plan_layers(graph: ChannelGraph, keep: Keep) -> tuple[LayerPlan, ...]:
    """Return one row for each layer that has weights, before and after a prune."""
    before, after = graph.stays({}), graph.stays(keep)
    params = graph.params(before), graph.params(after)
    macs = graph.macs(before), graph.macs(after)
    rows = []
    for path, layer in graph.records.layers.values():
        if path not in params[0]:
            continue
        own = [axis.labels for axis in graph.axes_of(layer) if axis.role in ("out", "through")]
        rows.append(
            LayerPlan(
                path=path,
                kind=type(layer).__name__,
                channels_before=int(before[own[-1]].sum()) if own else None,
                channels_after=int(after[own[-1]].sum()) if own else None,
                params_before=params[0][path],
                params_after=params[1][path],
                macs_before=macs[0].get(path, 0),
                macs_after=macs[1].get(path, 0),
                locked=graph.locked.get(path),
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
        variables = list(getattr(layer, "variables", ()))
        for weight in getattr(layer, "weights", ()):
            index = next(i for i, variable in enumerate(variables) if variable is weight)
            if len(weight.shape) < 2:
                continue
            size = math.prod(weight.shape)
            num_params += size
            num_prunable += size if index in within else 0
            if index not in within:
                reasons[path] = graph.locked.get(path, "all that it reads and makes must stay")
    return Reach(num_params, num_prunable, reasons)


def file_size_bytes(model: keras.Model) -> int:
    """Return the size of the model's `.keras` file, with optimizer state if the optimizer is built."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.keras"
        model.save(path)
        return path.stat().st_size
