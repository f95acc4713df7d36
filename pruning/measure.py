"""Params, multiply-accumulates and file bytes."""

from __future__ import annotations

import tempfile
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


def file_size_bytes(model: keras.Model) -> int:
    """Return the size of the model's `.keras` file, with optimizer state if the optimizer is built."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.keras"
        model.save(path)
        return path.stat().st_size
