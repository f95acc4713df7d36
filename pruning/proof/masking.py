"""The masked original: a model some of whose channels are not read, without a copy of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np

from pruning.graph.groups import ChannelGraph
from pruning.keras_model.graph import call_in_mode, functional_graph, require_graph, run_graph, standardize_inputs
from pruning.keras_model.masks import mask_of, with_mask
from pruning.keras_model.parts import variables_of
from pruning.keras_model.weights import read_weights
from pruning.proof.random_inputs import flat_arrays
from pruning.proof.reference import left_out


@dataclass(frozen=True)
class Mask:
    """What of a model is zeroed, and what left out, so that some of its channels are not read.

    Attributes:
        weights: Id of a variable → the variable and its value with these channels zeroed.
        present: Id of an operation that looks at several channels at once → position of an argument →
            booleans that broadcast to it: which of its entries are there.
    """

    weights: dict[int, tuple[keras.Variable, np.ndarray]] = field(default_factory=dict)
    present: dict[int, dict[int, np.ndarray]] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: ChannelGraph, stays: np.ndarray) -> Mask:
        """Mask the channels that go, where they are read.

        Zeroing a channel where it is made would be wrong, because biases and offsets behind it leak. What the
        pruned model holds multiplied by a factor is taken as its type can hold it then: a softmax makes much of
        that rounding, which is no mistake.
        """
        weights: dict[int, tuple[keras.Variable, np.ndarray]] = {}
        for axis in graph.axes("in"):
            kept = stays[axis.labels]
            if not kept.all():
                variable = variables_of(axis.layer)[axis.variable_index]
                _, value = weights.get(id(variable), (variable, read_weights(variable)))
                weights[id(variable)] = variable, value * _laid(kept, axis.axis, value.ndim).astype(value.dtype)
        for scale in graph.records.scales.values():
            if not stays[scale.labels].all():
                variable = variables_of(scale.layer)[scale.variable_index]
                _, value = weights.get(id(variable), (variable, read_weights(variable)))
                rounded = scale.scaled(value, stays).astype(np.float64)
                weights[id(variable)] = variable, rounded / scale.factor(stays)
        present: dict[int, dict[int, np.ndarray]] = {}
        for read in graph.records.reads.values():
            kept = stays[read.labels]
            if not kept.all():
                present.setdefault(id(read.layer), {})[read.argument] = _laid(kept, read.axis, read.rank)
        return cls(weights, present)


def _laid(kept: np.ndarray, axis: int, rank: int) -> np.ndarray:
    shape = [1] * rank
    shape[axis] = -1
    return kept.reshape(shape)


def run(model: keras.Model, mask: Mask, inputs: object) -> list[np.ndarray]:
    """Return all outputs in inference mode of a model, which is not changed, with some channels masked."""
    with keras.StatelessScope(state_mapping=list(mask.weights.values())):
        outputs = _run_masked(model, mask, inputs) if mask.present else model(inputs, training=False)
    return flat_arrays(outputs)


def _run_masked(model: keras.Model, mask: Mask, inputs: object, steps: object = None) -> object:
    """Run a model; `steps` are Keras's own masks on its inputs, in their structure, if it is nested in another."""
    graph = require_graph(model)
    tensors = standardize_inputs(graph, inputs)
    if steps is not None:
        for tensor, each in zip(tensors, keras.tree.flatten(steps), strict=True):
            with_mask(tensor, each)

    def nested(inner: keras.Model) -> Callable[..., object]:
        def call(inputs: object, *_: object, **kwargs: object) -> object:
            steps = kwargs.get("mask")
            steps = keras.tree.map_structure(mask_of, inputs) if steps is None else steps
            return _run_masked(inner, mask, inputs, steps)

        return call

    def masked(operation: keras.Operation) -> Callable[..., object]:
        if id(operation) in mask.present:
            return lambda *args, **kwargs: left_out(operation, args, kwargs, mask.present[id(operation)])
        inner = functional_graph(operation)
        return call_in_mode(operation, training=False) if inner is None else nested(inner)

    return run_graph(graph, tensors, masked)
