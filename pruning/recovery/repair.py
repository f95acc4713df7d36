"""What is done to a model right after a prune, before any training, and whether it helped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import keras
import numpy as np

from pruning.datasets.data import Arrays, Inputs
from pruning.graph.groups import ChannelGraph
from pruning.keras_model.graph import pack_inputs
from pruning.keras_model.weights import read_weights
from pruning.recovery.reconstruction import reconstruct
from pruning.recovery.statistics import refresh_statistics, trained_normalizations
from pruning.report import Repair, RepairKind
from pruning.spec import PruningSpec
from pruning.training.freezing import frozen


def repair(
    graph: ChannelGraph,
    small: ChannelGraph,
    stays: np.ndarray,
    samples: Inputs,
    *,
    error: Callable[[keras.Model], float],
    batches: Iterable[object],
    spec: PruningSpec,
) -> Repair:
    """Leave a pruned model as it was cut, refresh its statistics or reconstruct its layers: whichever is best.

    Args:
        graph: The model before the prune; never changed.
        small: What `prune_channels` made of it; the variables of its model change in place.
        stays: Whether each label stayed, shape `(num_labels,)`.
        samples: Inputs to reconstruct on, by name, in the order of the model's inputs.
        error: How far a model is off on samples on which nothing is measured; lower is better.
        batches: Inputs to measure statistics on.
        spec: Whether layers may be reconstructed, and which are frozen: those stay as they were cut, as do those that
            are not trainable.

    Returns:
        What was kept, and the error with each that was tried.
    """
    model, cut = small.model, _values(small.model)
    errors: dict[RepairKind, float] = {"cut": error(model)}
    values = {"cut": cut}
    with frozen(model, spec.freeze):
        normalizations = trained_normalizations(model)
    num_layers = 0
    if normalizations:
        refresh_statistics(model, normalizations, batches)
        errors["statistics"], values["statistics"] = error(model), _values(model)
        _assign(model, cut)
    if spec.reconstruction:
        with frozen(graph.model, spec.freeze):
            leave = {id(layer) for _, layer in graph.records.layers.values() if not getattr(layer, "trainable", True)}
        num_layers = len(reconstruct(graph, small, stays, samples, seed=spec.seed, leave=leave).layers)
        errors["reconstruction"], values["reconstruction"] = error(model), _values(model)
    kept = min(errors, key=lambda kind: errors[kind] if math.isfinite(errors[kind]) else math.inf)
    _assign(model, values[kept])
    finite = {kind: each for kind, each in errors.items() if math.isfinite(each)}
    return Repair(kept=kept, errors=finite, num_layers=num_layers if kept == "reconstruction" else 0)


def output_error(graph: ChannelGraph, held_out: Arrays, batch_size: int) -> Callable[[keras.Model], float]:
    """Return how far a model's outputs are from the original's on some samples: no target is needed.

    It is the mean squared difference over the variance of the original's output, averaged over the outputs.
    """
    arrays = list(held_out.values())
    wanted = _outputs(graph.model, arrays, batch_size)

    def error(model: keras.Model) -> float:
        made = _outputs(model, arrays, batch_size)
        off = [
            float(np.mean(np.square(each - other)) / max(float(np.var(other)), 1e-12))
            for each, other in zip(made, wanted, strict=True)
        ]
        return float(np.mean(off))

    return error


def _outputs(model: keras.Model, arrays: list[np.ndarray], batch_size: int) -> list[np.ndarray]:
    packed = pack_inputs(model, arrays)
    return [
        np.asarray(each, dtype=np.float64)
        for each in keras.tree.flatten(model.predict(packed, batch_size=batch_size, verbose=0))
    ]


def _values(model: keras.Model) -> list[np.ndarray]:
    return [read_weights(variable).copy() for variable in model.variables]


def _assign(model: keras.Model, values: list[np.ndarray]) -> None:
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)
