"""The calls of a model in a row, with nested models in place: to be run whole, in part, and watched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import keras

from pruning.graph.trace import tensors_of
from pruning.keras_model.graph import (
    Functional,
    Node,
    call_in_mode,
    call_nodes,
    fits,
    functional_graph,
    pack_inputs,
    require_graph,
    standardize_inputs,
)
from pruning.keras_model.masks import mask_of, with_mask
from pruning.keras_model.parts import stateful_layers, without_states
from pruning.keras_model.tensors import BackendTensor
from pruning.rules.call import Call

Tensors = dict[int, BackendTensor]
"""Number of a tensor → its value."""
Watch = Callable[[int, Tensors], Tensors]
"""`(index of the step, number → tensor for each that goes into it) -> those of them that others take the place of`."""


@dataclass(frozen=True)
class ProgramStep:
    """One call of one layer.

    Attributes:
        node: Keras's record of the call.
        call: Number of the call of this layer, from 0; nested models are walked as often as they are called.
        arguments: Number of each tensor that goes in, by the id of Keras's symbol for it; masks are among them.
        inputs: Numbers of those that are no masks, in the order in which the tracer takes them.
        outputs: Numbers of the tensors that come out.
    """

    node: Node
    call: int
    arguments: dict[int, int]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Program:
    """A model as a list of steps, each after those that it depends on.

    Args:
        model: A functional or Sequential model; its layers are called, never changed.

    Attributes:
        masks: Index of a step → pairs of a tensor and the mask that Keras hangs on it from there on.

    Raises:
        ModelError: The model has no graph.
    """

    def __init__(self, model: keras.Model) -> None:
        self.graph = require_graph(model)
        self.steps: list[ProgramStep] = []
        self._count = 0
        self._calls: dict[int, int] = {}
        self.masks: dict[int, list[tuple[int, int]]] = {}
        self.inputs = self._new(len(self.graph.inputs))
        self.outputs = self._walk(self.graph, self.inputs)
        self._stateful = stateful_layers(model)
        self.index = {(id(step.node.operation), step.call): index for index, step in enumerate(self.steps)}

    def _new(self, count: int) -> tuple[int, ...]:
        self._count += count
        return tuple(range(self._count - count, self._count))

    def _walk(self, graph: Functional, inputs: Sequence[int]) -> tuple[int, ...]:
        known = {id(symbol): number for symbol, number in zip(graph.inputs, inputs, strict=True)}
        for node in call_nodes(graph):
            symbols = tensors_of(node.operation, Call(node.arguments.args, node.arguments.kwargs))
            inputs = tuple(known[id(symbol)] for symbol in symbols)
            inner = functional_graph(node.operation)
            if inner is not None and fits(inner, [len(symbol.shape) for symbol in symbols]):
                self._enter(node, known)
                outputs = self._walk(inner, inputs)
            else:
                key = id(node.operation)
                self._calls[key] = self._calls.get(key, -1) + 1
                outputs = self._new(len(node.outputs))
                arguments = {id(symbol): known[id(symbol)] for symbol in node.arguments.keras_tensors}
                self.steps.append(ProgramStep(node, self._calls[key], arguments, inputs, outputs))
            known.update((id(symbol), number) for symbol, number in zip(node.outputs, outputs, strict=True))
        return tuple(known[id(symbol)] for symbol in graph.outputs)

    def _enter(self, node: Node, known: dict[int, int]) -> None:
        """Note which masks go into a nested model: there they hang on the tensors and are no arguments."""
        given, mask = node.arguments.args[:1], node.arguments.kwargs.get("mask")
        if mask is not None and given:
            pairs = zip(keras.tree.flatten(given[0]), keras.tree.flatten(mask), strict=True)
            self.masks.setdefault(len(self.steps), []).extend(
                (known[id(symbol)], known[id(each)]) for symbol, each in pairs if each is not None
            )

    def standardize(self, inputs: object) -> list[BackendTensor]:
        """Return inputs of the model, in the order in which Keras flattens them, as its layers expect them."""
        return standardize_inputs(self.graph, pack_inputs(self.graph, keras.tree.flatten(inputs)))

    def run(
        self,
        values: Tensors,
        wanted: Iterable[int],
        steps: Sequence[int] | None = None,
        watch: Watch | None = None,
        training: Collection[int] = (),
    ) -> list[BackendTensor]:
        """Run steps in inference mode. Layers that keep states from batch to batch begin anew, and keep none.

        Args:
            values: Number of a tensor → its value, for all that the steps do not make themselves.
            wanted: Numbers of the tensors to return.
            steps: Indices of the steps to run, ascending; `None` runs all.
            watch: Sees, and may replace, what goes into each step.
            training: Ids of layers and operations that run in training mode instead.

        Returns:
            The values of the tensors wanted.
        """
        values, wanted = dict(values), list(wanted)
        steps = range(len(self.steps)) if steps is None else steps
        last = {number: index for index in steps for number in self.steps[index].arguments.values()}
        last.update({mask: max(index, last.get(mask, 0)) for index in self.masks for _, mask in self.masks[index]})
        last.update(dict.fromkeys(wanted, len(self.steps)))
        for index in steps:
            step = self.steps[index]
            for number, mask in self.masks.get(index, ()):
                with_mask(values[number], values[mask])
            seen = {number: values[number] for number in step.arguments.values()}
            if watch is not None:
                for number, replaced in watch(index, {number: seen[number] for number in step.inputs}).items():
                    seen[number] = with_mask(replaced, mask_of(seen[number]))
            args, kwargs = step.node.arguments.fill_in({key: seen[number] for key, number in step.arguments.items()})
            call = call_in_mode(step.node.operation, training=id(step.node.operation) in training)
            with without_states(self._stateful):
                made = call(*args, **kwargs)
            values.update(zip(step.outputs, keras.tree.flatten(made), strict=True))
            for number in (*seen, *step.outputs):
                if last.get(number, -1) <= index:
                    values.pop(number, None)
        return [values[number] for number in wanted]

    def last_step(self, steps: Iterable[int]) -> Sequence[int]:
        """Return the steps up to the last of these."""
        return range(max(steps, default=-1) + 1)
