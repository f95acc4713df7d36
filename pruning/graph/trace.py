"""Trace a model: from its call graph to channel labels, ties and labelled weight axes."""

from __future__ import annotations

import itertools
import math

import keras
import numpy as np

from pruning.errors import ModelError
from pruning.keras_model.graph import Functional, Node, call_nodes, fits, functional_graph, producer, require_graph
from pruning.keras_model.parts import weights_of
from pruning.rules import RULES
from pruning.rules.call import Call, is_array
from pruning.rules.context import Context, LockedError, Said
from pruning.rules.records import Labels, Place, Records, Shape, Tensor

_TOP = Call()


def trace(model: keras.Model) -> Records:
    """Walk the model once, nested models in place, and ask each layer's rule.

    Raises:
        ModelError: The model has no graph that can be traced.
    """
    graph = require_graph(model)
    records = Records()
    tensors = [_fixed(tensor) for tensor in graph.inputs]
    outputs = _walk(records, graph, tensors, prefix="")
    # First in the list: that a layer is an output says more than whatever else locks it.
    records.fixed[:0] = [
        (tensor.labels, f"{name} is an output of the model")
        for tensor, name in zip(outputs, graph.output_names, strict=True)
    ]
    return records


def _walk(records: Records, graph: Functional, inputs: list[Tensor], prefix: str, outer: Call = _TOP) -> list[Tensor]:
    known = {id(symbol): tensor for symbol, tensor in zip(graph.inputs, inputs, strict=True)}
    shapes = _Shapes(graph, [tensor.shape for tensor in inputs])

    def traced(symbol: keras.KerasTensor) -> Tensor:
        return known.get(id(symbol)) or _fixed(symbol)  # A tensor from outside the graph is a constant.

    for node in call_nodes(graph):
        operation = node.operation
        path = prefix + operation.name
        call = Call(node.arguments.args, node.arguments.kwargs, traced, outer.times, outer.held)
        for mask in call.masks:
            records.fixed.append((traced(mask).labels, f"{path} takes it as a mask"))
        arguments = [traced(symbol) for symbol in tensors_of(operation, call)]
        outputs = _call(records, operation, arguments, shapes.of(node), path, call)
        known.update((id(symbol), tensor) for symbol, tensor in zip(node.outputs, outputs, strict=True))
    return [known[id(symbol)] for symbol in graph.outputs]


def _call(
    records: Records, operation: keras.Operation, inputs: list[Tensor], shapes: list[Shape], path: str, call: Call
) -> list[Tensor]:
    inner = functional_graph(operation)
    if inner is not None and fits(inner, [len(tensor.shape) + 1 for tensor in inputs]):
        _enter(records, inner, inputs, prefix=f"{path}/")
        return _walk(records, inner, inputs, prefix=f"{path}/", outer=call)
    path = _path(records, operation, path)
    for weight in weights_of(operation):
        owner = records.owners.setdefault(id(weight), operation)
        if owner is not operation:
            raise ModelError(
                "Two layers share a weight, which copies of them would not.",
                field="model",
                received=f"{weight.path} in {owner.name} and in {operation.name}",
                expected="weights shared only by calling the same layer twice",
            )

    def trace_held(
        part: keras.Operation, inputs: list[Tensor], shapes: list[Shape], repeats: int | None
    ) -> list[Tensor]:
        times = None if call.times is None or repeats is None else call.times * repeats
        return _call(records, part, inputs, shapes, f"{path}/{part.name}", Call(times=times, held=True))

    context = Context(records, operation, path, call, trace_held)
    labels = _ask(context, operation, inputs, shapes, call)
    if call.held:
        return [Tensor(*pair) for pair in zip(labels, shapes, strict=True)]
    number = records.calls[id(operation)] = records.calls.get(id(operation), -1) + 1
    _write_places(records, operation, number, context.said, inputs)
    origin = _origin(operation, number, inputs, shapes)
    return [Tensor(*pair, origin) for pair in zip(labels, shapes, strict=True)]


def _path(records: Records, operation: keras.Operation, path: str) -> str:
    """Return the path under which a layer is known; two layers that a wrapper holds may have one name."""
    if id(operation) not in records.layers:
        others = (f"{path}_{number}" for number in itertools.count(1))
        path = next(each for each in itertools.chain([path], others) if each not in records.paths)
        records.paths.add(path)
        records.layers[id(operation)] = (path, operation)
    return records.layers[id(operation)][0]


def _origin(operation: keras.Operation, number: int, inputs: list[Tensor], shapes: list[Shape]) -> Place | None:
    """Return where the values of a call's output were to be had before, if the call only rearranges them."""
    if len(inputs) != 1 or len(shapes) != 1:
        return None
    (tensor,), (shape,) = inputs, shapes
    sizes, made = [size for size in tensor.shape if size is not None], [size for size in shape if size is not None]
    known = len(sizes) == len(tensor.shape) and len(made) == len(shape)
    if not known or sizes == made or math.prod(sizes) != math.prod(made) or list(getattr(operation, "weights", ())):
        return None
    varying = [axis for axis, size in enumerate(tensor.labels.shape) if size > 1]
    if tensor.origin is not None or len(varying) != 1:
        return tensor.origin
    return Place(operation, number, 0, varying[0], tensor.labels.reshape(-1))


class _Shapes:
    """Shapes of all tensors of a graph; anew where the graph is called with sizes that it was not built for."""

    def __init__(self, graph: Functional, inputs: list[Shape]) -> None:
        self._specs: dict[int, keras.KerasTensor] = {}
        self._anew = any(tuple(symbol.shape[1:]) != shape for symbol, shape in zip(graph.inputs, inputs, strict=True))
        if self._anew:
            self._specs = {
                id(symbol): keras.KerasTensor((symbol.shape[0], *shape), symbol.dtype)
                for symbol, shape in zip(graph.inputs, inputs, strict=True)
            }

    def of(self, node: Node) -> list[Shape]:
        """Return the shapes of a call's outputs; calls have to be asked for in order."""
        symbols = node.outputs
        if self._anew:
            args, kwargs = node.arguments.convert(lambda value: self._specs.get(id(value), value))
            symbols = keras.tree.flatten(node.operation.compute_output_spec(*args, **kwargs))
            self._specs.update((id(symbol), spec) for symbol, spec in zip(node.outputs, symbols, strict=True))
        return [tuple(symbol.shape[1:]) for symbol in symbols]


def tensors_of(operation: keras.Operation, call: Call) -> list[keras.KerasTensor]:
    """Return the tensors of a call in the order in which the called layer takes them."""
    inner = functional_graph(operation)
    first = call.args[0] if call.args else None
    if inner is not None and isinstance(first, dict):
        names = [producer(symbol).name for symbol in inner.inputs]
        if set(names) == set(first):
            return [first[name] for name in names]
    return [tensor for _, tensor in call.tensors]


def _enter(records: Records, inner: Functional, inputs: list[Tensor], prefix: str) -> None:
    """Let the input shapes that a nested model was built for follow the channels that it is called with."""
    for symbol, tensor in zip(inner.inputs, inputs, strict=True):
        layer = producer(symbol)
        context = Context(records, layer, prefix + layer.name)
        for axis, size in enumerate(tensor.labels.shape):
            if size > 1 and symbol.shape[axis + 1] is not None:
                context.width("batch_shape", context.along(tensor, axis), index=axis + 1)


def _ask(
    context: Context, operation: keras.Operation, inputs: list[Tensor], shapes: list[Shape], call: Call
) -> list[Labels]:
    rule = RULES.get(type(operation))
    try:
        if rule is None:
            raise LockedError(f"there is no rule for {type(operation).__module__}.{type(operation).__name__}")
        labels = rule(context, operation, inputs, shapes)
        _require_all_known(context.said, operation, call)
        _check_labels(context, labels, shapes)
    except LockedError as locked:
        reason = f"{context.path}: {locked}"
        context.lock(str(locked))
        for touched in [tensor.labels for tensor in inputs] + context.made():
            context.fix(touched, reason)
        return [np.zeros((1,) * len(shape), dtype=np.int64) for shape in shapes]
    return labels


def _require_all_known(said: Said, layer: keras.Operation, call: Call) -> None:
    """Check that a rule spoke of every weight of the layer, and of every argument that is an array.

    Raises:
        LockedError: It did not: it would have to be cut with the channels, or its rule is of an older layer.
    """
    for weight in weights_of(layer):
        if said.index_of[id(weight)] not in said.variables:
            raise LockedError(f"its rule does not know the weight {weight.path}")
    if any(key not in said.arguments and is_array(value) for key, value in call.arguments.items()):
        raise LockedError("one of its arguments is a constant array, which would have to be cut with the channels")


def _write_places(records: Records, layer: keras.Operation, call: int, said: Said, inputs: list[Tensor]) -> None:
    """Write down where a call reads channels: along which axes of its inputs, if its weights read any.

    Where it looks at all channels at once goes into a list of its own.
    """
    for tensor, index, axis, labels in said.looked_at:
        records.looks.append(Place(layer, call, index, axis, labels, tensor.origin))
    for tensor, axis, labels in said.followed if said.reads_weights else ():
        for position, each in enumerate(inputs):
            if each is tensor:
                records.places.append(Place(layer, call, position, axis, labels, tensor.origin))


def _check_labels(context: Context, labels: object, shapes: list[Shape]) -> None:
    """Check what a rule returned.

    Raises:
        ModelError: It is not one array of labels for each output.
    """
    if not isinstance(labels, list) or len(labels) != len(shapes) or not all(map(_lies, labels, shapes)):
        found = [getattr(each, "shape", None) for each in labels] if isinstance(labels, (list, tuple)) else None
        raise ModelError(
            f"The rule for {type(context.layer).__name__} returned no labels for its outputs.",
            field="model",
            received=f"{type(labels).__name__} of shapes {found}" if found is not None else type(labels).__name__,
            expected=f"a list of integer arrays that lie on shapes {shapes}, without the batch, of size 1 where no "
            "channels are",
        )


def _lies(labels: object, shape: Shape) -> bool:
    sizes = getattr(labels, "shape", None)
    if sizes is None or len(sizes) != len(shape):
        return False
    return sizes == shape or all(size in (1, known) for size, known in zip(sizes, shape, strict=True))


def _fixed(symbol: keras.KerasTensor) -> Tensor:
    shape = tuple(symbol.shape[1:])
    return Tensor(np.zeros((1,) * len(shape), dtype=np.int64), shape)
