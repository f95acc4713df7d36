"""What a rule sees and what it may say of one call of one layer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, get_args

import keras
import numpy as np

from pruning.keras_model.parts import variables_of
from pruning.rules.call import Call
from pruning.rules.records import (
    Follow,
    Follower,
    Labels,
    Multiplications,
    Read,
    Records,
    Role,
    Scale,
    Shape,
    Tensor,
    WeightAxis,
    Width,
)


class LockedError(Exception):
    """Raised by a rule that cannot follow a layer's channels; the tracer locks them and keeps the reason."""


class Said:
    """What a rule has said of one call, apart from what is in the records, for the tracer.

    Attributes:
        index_of: Id of each of the layer's own variables → position in `variables_of(layer)`.
        variables: Positions of those that were spoken of.
        arguments: Positions or names of the arguments that are known.
        followed: Tensors, the axis along which their channels were followed, and the labels there.
        looked_at: Inputs all of whose channels are looked at: tensor, number, axis, labels.
        reads_weights: Whether some weight reads channels.
    """

    def __init__(self, layer: keras.Operation) -> None:
        self.index_of = {id(variable): index for index, variable in enumerate(variables_of(layer))}
        self.variables: set[int] = set()
        self.arguments: set[str | int] = set()
        self.followed: list[tuple[Tensor, int, Labels]] = []
        self.looked_at: list[tuple[Tensor, int, int, Labels]] = []
        self.reads_weights = False


TraceHeld = Callable[[keras.Operation, list[Tensor], list[Shape], int | None], list[Tensor]]
"""The tracer's side of `Context.trace_held`."""


class Context:
    """The rules' side of tracing one call of one layer.

    Args:
        records: Where everything is written down.
        layer: The layer, or operation, that is called.
        path: Its path in the model, for reasons and plans.
        call: How it is called.
        trace_held: Traces the call of a layer that this layer holds.

    Attributes:
        layer: As given.
        path: As given.
        arguments: Of the call, by position or name.
        said: What was said so far.
    """

    def __init__(
        self,
        records: Records,
        layer: keras.Operation,
        path: str,
        call: Call | None = None,
        trace_held: TraceHeld | None = None,
    ) -> None:
        self._records = records
        self._call = call or Call()
        self._trace_held = trace_held
        self.said = Said(layer)
        self.layer = layer
        self.path = path
        self.arguments = self._call.arguments

    def named(self) -> dict[str, Any]:
        """Return the arguments of the call by name, as far as given, with a `Tensor` for each of the graph's."""
        bound = inspect.signature(self.layer.call).bind_partial(*self._call.args, **self._call.kwargs)

        def traced(value: object) -> object:
            return self._call.traced(value) if isinstance(value, keras.KerasTensor) else value

        return {name: keras.tree.map_structure(traced, argument) for name, argument in bound.arguments.items()}

    def trace_held(
        self, layer: keras.Operation, inputs: list[Tensor], outputs: list[Shape], repeats: int | None = 1
    ) -> list[Tensor]:
        """Trace the call of a layer that this layer holds.

        Args:
            layer: The held layer, or a model.
            inputs: What it is called with.
            outputs: Shapes of what it returns.
            repeats: How often it is called at each call of this layer; `None` if that is not known.
        """
        if self._trace_held is None:
            raise LockedError("it calls another layer where that cannot be followed")
        return self._trace_held(layer, inputs, outputs, repeats)

    def labels_on(self, layer: keras.Operation, variable: keras.Variable, axis: int) -> Labels | None:
        """Return what was said of an axis of a variable of a layer that this layer holds."""
        indices = {id(other): index for index, other in enumerate(variables_of(layer))}
        known = self._records.axes.get((id(layer), indices[id(variable)], axis % len(variable.shape)))
        return None if known is None else known.labels

    def new(self, key: str, num_channels: int) -> Labels:
        """Return labels for channels that the layer makes; the same ones at each call of a shared layer."""
        made = self._records.made.setdefault(id(self.layer), {})
        if key not in made:
            start = self._records.num_labels
            self._records.num_labels += num_channels
            made[key] = np.arange(start, start + num_channels)
        return made[key]

    def made(self) -> list[Labels]:
        """Return all labels that the layer has made so far."""
        return list(self._records.made.get(id(self.layer), {}).values())

    def tie(self, first: Labels, second: Labels) -> None:
        """Say that two labels live or die together, elementwise with broadcasting."""
        if first is not second and first.size and second.size:
            self._records.ties.append((first, second, self.path))

    def fix(self, labels: Labels, reason: str) -> None:
        """Say that channels must stay."""
        self._records.fixed.append((labels, reason))

    def lock(self, reason: str) -> None:
        """Say why the layer itself cannot be followed."""
        self._records.locked.setdefault(self.path, reason)
        self.said.followed.clear()
        self.said.looked_at.clear()

    def span(self, labels: Labels) -> None:
        """Say that a tensor holds just these channels, so that one of them has to stay."""
        self._records.spans.append(labels)

    def weight(self, variable: keras.Variable | None, axis: int, labels: Labels, role: Role) -> None:
        """Say which channels lie along an axis of a variable; `None` variables (no bias) are passed over."""
        if role not in get_args(Role):
            raise ValueError(f"{role!r} is no role of a weight axis; the roles are {', '.join(get_args(Role))}")
        if variable is None:
            return
        index = self._index(variable)
        shape = self._records.counted(self.layer)[index].shape
        axis %= len(shape)
        if len(labels) != shape[axis]:
            raise LockedError(
                f"{variable.path} has size {shape[axis]} on axis {axis} where its rule expects {len(labels)}"
            )
        self.said.variables.add(index)
        self.said.reads_weights |= role == "in"
        inner = role == "in" and any(_within(labels, made) for made in self.made())
        known = self._records.axes.setdefault(
            (id(self.layer), index, axis), WeightAxis(self.layer, index, axis, labels, role, inner)
        )
        self.tie(known.labels, labels)

    def scale(self, variable: keras.Variable | None, labels: Labels, exponent: float) -> None:
        """Say that a variable makes up for how many of these channels are left; see `Scale`."""
        if variable is not None:
            index = self._index(variable)
            self._records.scales[id(self.layer), index] = Scale(self.layer, index, labels, exponent)

    def same_for_all_channels(self, variable: keras.Variable) -> None:
        """Say that no channels lie on any axis of a variable."""
        self.said.variables.add(self._index(variable))

    def width(self, key: str, labels: Labels, index: int | None = None) -> None:
        """Say that `config[key]`, or entry `index` of it, counts these channels."""
        known = self._records.widths.setdefault((id(self.layer), key, index), Width(self.layer, key, index, labels))
        if len(known.labels) != len(labels):
            raise LockedError(f"{key} counts different channels at each call")
        self.tie(known.labels, labels)

    def setting(self, key: str, value: Follow, *parts: Labels) -> None:
        """Say that `config[key]` becomes `value(config[key], stays)`; see `Follower`."""
        self._follow(self._records.settings, key, value, parts)

    def argument(self, key: str | int, value: Follow | None = None, *parts: Labels) -> None:
        """Say that an argument is known; it becomes `value(argument, stays)` if that is given; see `Follower`."""
        self.said.arguments.add(key)
        if value is not None:
            self._follow(self._records.arguments, key, value, parts)

    def _follow(
        self, table: dict[tuple[int, str | int], Follower], key: str | int, value: Follow, parts: Sequence[Labels]
    ) -> None:
        known = table.setdefault((id(self.layer), key), Follower(self.layer, key, tuple(parts), value))
        if [len(part) for part in known.parts] != [len(part) for part in parts]:
            raise LockedError(f"{key} is another at each call")
        for first, second in zip(known.parts, parts, strict=True):
            self.tie(first, second)

    def read(self, index: int, tensor: Tensor, axis: int) -> Labels:
        """Say that the layer looks at all channels along an axis of input `index` at once.

        The proof then takes the layer's reference, which leaves out the channels that go, from
        `pruning.proof.reference`.

        Returns:
            The labels along that axis.
        """
        if self._call.held:
            raise LockedError("it looks at several channels at once inside another layer, where that cannot be proven")
        labels = self.along(tensor, axis)
        self.span(labels)
        read = Read(self.layer, self._positions[index], axis + 1, len(tensor.shape) + 1, labels)
        known = self._records.reads.setdefault((id(self.layer), read.argument), read)
        if (known.axis, known.rank, len(known.labels)) != (read.axis, read.rank, len(labels)):
            raise LockedError("it looks at channels along another axis at each call")
        self.tie(known.labels, labels)
        self.said.looked_at.append((tensor, index, axis, labels))
        return labels

    @property
    def _positions(self) -> list[int]:
        return [position for position, _ in self._call.tensors]

    def multiply(self, variable: keras.Variable, spatial: Sequence[int | None]) -> None:
        """Count multiply-accumulates: each entry of the variable is used at every spatial position."""
        sizes = [self._call.times, *spatial]
        positions = None if None in sizes else int(np.prod([size for size in sizes if size], dtype=np.int64))
        self._records.multiplications.append(Multiplications(self.layer, self._index(variable), positions))

    def varying(self, tensor: Tensor) -> int | None:
        """Return the axis along which channels lie, after tying them over all other axes; `None` if on none."""
        axes = [axis for axis, size in enumerate(tensor.labels.shape) if size > 1]
        if not axes:
            return None
        self.along(tensor, axes[-1])
        return axes[-1]

    def _index(self, variable: keras.Variable) -> int:
        index = self.said.index_of.get(id(variable))
        if index is None:
            raise LockedError("its weights are quantised, adapted or not its own")
        return index

    def along(self, tensor: Tensor, axis: int) -> Labels:
        """Return the labels along one axis, shape `(size,)`, after tying them over all other axes.

        Raises:
            LockedError: The size of the axis is not known.
        """
        size = tensor.shape[axis]
        if size is None:
            raise LockedError("the number of channels of its input is not known")
        if tensor.labels.size == tensor.labels.shape[axis]:
            row = tensor.labels.reshape(-1)
        else:
            rows = np.moveaxis(tensor.labels, axis, -1).reshape(-1, tensor.labels.shape[axis])
            self.tie(rows[:1], rows[1:])
            row = rows[0]
        labels: Labels = row if len(row) == size else np.broadcast_to(row, (size,))
        self.said.followed.append((tensor, axis, labels))
        return labels


def _within(labels: Labels, made: Labels) -> bool:
    """Tell whether some of the labels are among those that a layer made, which are consecutive numbers."""
    return bool(np.any((labels >= made[0]) & (labels <= made[-1]))) if len(made) else False


Rule = Callable[[Context, Any, list[Tensor], list[Shape]], list[Labels]]
"""`rule(context, layer, inputs, output_shapes)` returns the labels of each output."""


def spread(labels: Labels, axis: int, rank: int) -> Labels:
    """Lay labels of shape `(n,)` along one axis of a label array of the given rank."""
    shape = [1] * rank
    shape[axis] = len(labels)
    return labels.reshape(shape)


def channel_axis(layer: keras.Operation, rank: int) -> int:
    """Return the channel axis, without the batch axis, by the layer's data format."""
    data_format = getattr(layer, "data_format", "channels_last") or keras.config.image_data_format()
    return 0 if data_format == "channels_first" else rank - 1


def spatial(shape: Shape, axis: int) -> list[int | None]:
    """Return the sizes of all axes but the channel axis."""
    return [size for index, size in enumerate(shape) if index != axis]


def single(inputs: list[Tensor]) -> Tensor:
    """Return the only input; tensors beside it, such as a mask, may not hold channels that can go.

    Raises:
        LockedError: There are several.
    """
    if any(np.any(tensor.labels) for tensor in inputs[1:]):
        raise LockedError(f"called with {len(inputs)} tensors where its rule expects one")
    return inputs[0]
