"""What a rule sees and what it may say of one call of one layer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args

import keras
import numpy as np

from pruning.keras_model.parts import variables_of, weights_of
from pruning.rules.records import (
    Follow,
    Follower,
    Labels,
    Multiplications,
    Place,
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


@dataclass(frozen=True)
class Call:
    """How a layer is called.

    Attributes:
        args: Arguments by position, with Keras's symbolic tensors in them.
        kwargs: Arguments by name.
        traced: Returns the traced tensor of a symbolic one.
        times: How often the call is made for one sample; `None` if that is not known.
        held: Whether another layer makes the call, so that it is no node of the graph.
    """

    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    traced: Callable[[Any], Tensor] = lambda symbol: symbol
    times: int | None = 1
    held: bool = False

    @cached_property
    def masks(self) -> list[Any]:
        """The tensors that only say which entries count; most of them are put there by Keras itself."""
        named = [value for name, value in self.kwargs.items() if name == "mask" or name.endswith("_mask")]
        if not named:
            return []
        return [tensor for tensor in keras.tree.flatten(named) if isinstance(tensor, keras.KerasTensor)]

    @cached_property
    def tensors(self) -> list[tuple[int, Any]]:
        """Position among the flattened arguments and tensor, for each tensor of the graph that is no mask."""
        masks = {id(mask) for mask in self.masks}
        flat = enumerate(keras.tree.flatten((self.args, self.kwargs)))
        return [
            (position, value)
            for position, value in flat
            if isinstance(value, keras.KerasTensor) and id(value) not in masks
        ]


TraceHeld = Callable[[Any, list[Tensor], list[Shape], int | None], list[Tensor]]
"""The tracer's side of `Context.trace_held`."""


class Context:
    """The rules' side of tracing one call of one layer.

    Args:
        records: Where everything is written down.
        layer: The layer, or operation, that is called.
        path: Its path in the model, for reasons and plans.
        call: How it is called.
        trace_held: Traces the call of a layer that this layer holds.
    """

    def __init__(
        self,
        records: Records,
        layer: Any,
        path: str,
        call: Call | None = None,
        trace_held: TraceHeld | None = None,
    ) -> None:
        self._records = records
        self._index_of = {id(variable): index for index, variable in enumerate(variables_of(layer))}
        self._spoken_of: set[int] = set()
        self._followed: list[tuple[Tensor, int, Labels]] = []
        self._looked_at: list[tuple[Tensor, int, int, Labels]] = []
        self._weights_read = False
        self._call = call or Call()
        self._trace_held = trace_held
        self.layer = layer
        self.path = path
        self.arguments: dict[str | int, Any] = dict(enumerate(self._call.args)) | dict(self._call.kwargs)
        self._known_arguments: set[str | int] = set()

    def named(self) -> dict[str, Any]:
        """Return the arguments of the call by name, as far as given, with a `Tensor` for each of the graph's."""
        bound = inspect.signature(self.layer.call).bind_partial(*self._call.args, **self._call.kwargs)

        def traced(value: Any) -> Any:
            return self._call.traced(value) if isinstance(value, keras.KerasTensor) else value

        return {name: keras.tree.map_structure(traced, argument) for name, argument in bound.arguments.items()}

    def trace_held(
        self, layer: Any, inputs: list[Tensor], outputs: list[Shape], repeats: int | None = 1
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

    def labels_on(self, layer: Any, variable: Any, axis: int) -> Labels | None:
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
        self._followed.clear()
        self._looked_at.clear()

    def span(self, labels: Labels) -> None:
        """Say that a tensor holds just these channels, so that one of them has to stay."""
        self._records.spans.append(labels)

    def weight(self, variable: Any, axis: int, labels: Labels, role: Role) -> None:
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
        self._spoken_of.add(index)
        self._weights_read = self._weights_read or role == "in"
        inner = role == "in" and any(_within(labels, made) for made in self.made())
        known = self._records.axes.setdefault(
            (id(self.layer), index, axis), WeightAxis(self.layer, index, axis, labels, role, inner)
        )
        self.tie(known.labels, labels)

    def scale(self, variable: Any, labels: Labels, exponent: float) -> None:
        """Say that a variable makes up for how many of these channels are left; see `Scale`."""
        if variable is not None:
            index = self._index(variable)
            self._records.scales[id(self.layer), index] = Scale(self.layer, index, labels, exponent)

    def same_for_all_channels(self, variable: Any) -> None:
        """Say that no channels lie on any axis of a variable."""
        self._spoken_of.add(self._index(variable))

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
        self._known_arguments.add(key)
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
        self._looked_at.append((tensor, index, axis, labels))
        return labels

    @property
    def _positions(self) -> list[int]:
        return [position for position, _ in self._call.tensors]

    def multiply(self, variable: Any, spatial: Sequence[int | None]) -> None:
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

    def require_all_weights_known(self) -> None:
        """Check that the rule spoke of every weight of the layer.

        Raises:
            LockedError: It did not: the layer has weights that are not in its rule.
        """
        for weight in weights_of(self.layer):
            if self._index_of[id(weight)] not in self._spoken_of:
                raise LockedError(f"its rule does not know the weight {weight.path}")

    def require_all_arguments_known(self) -> None:
        """Check that the rule spoke of every argument that is an array.

        Raises:
            LockedError: It did not: the array would have to be cut with the channels.
        """
        for key, value in self.arguments.items():
            if key not in self._known_arguments and _is_array(value):
                raise LockedError(
                    "one of its arguments is a constant array, which would have to be cut with the channels"
                )

    def _index(self, variable: Any) -> int:
        if id(variable) not in self._index_of:
            raise LockedError("its weights are quantised, adapted or not its own")
        return self._index_of[id(variable)]

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
        self._followed.append((tensor, axis, labels))
        return labels

    def write_places(self, call: int, inputs: Sequence[Tensor]) -> None:
        """Write down where the call reads channels: along which axes of its inputs, if its weights read any.

        Where it looks at all channels at once goes into a list of its own.
        """
        for tensor, index, axis, labels in self._looked_at:
            self._records.looks.append(Place(self.layer, call, index, axis, labels, tensor.origin))
        for tensor, axis, labels in self._followed if self._weights_read else ():
            for position, each in enumerate(inputs):
                if each is tensor:
                    self._records.places.append(Place(self.layer, call, position, axis, labels, tensor.origin))


def _within(labels: Labels, made: Labels) -> bool:
    """Tell whether some of the labels are among those that a layer made, which are consecutive numbers."""
    return bool(np.any((labels >= made[0]) & (labels <= made[-1]))) if len(made) else False


def _is_array(argument: Any) -> bool:
    """Tell whether an argument is, or holds, a constant array; a list of numbers is one too."""
    if isinstance(argument, keras.KerasTensor) or np.isscalar(argument) or argument is None:
        return False
    leaves = keras.tree.flatten(argument)
    if any(isinstance(leaf, keras.KerasTensor) for leaf in leaves):
        leaves = [leaf for leaf in leaves if not isinstance(leaf, keras.KerasTensor)]
        return any(np.ndim(leaf) > 0 for leaf in leaves)
    return isinstance(argument, list | tuple) or any(np.ndim(leaf) > 0 for leaf in leaves)


Rule = Callable[[Context, Any, list[Tensor], list[Shape]], list[Labels]]
"""`rule(context, layer, inputs, output_shapes)` returns the labels of each output."""


def spread(labels: Labels, axis: int, rank: int) -> Labels:
    """Lay labels of shape `(n,)` along one axis of a label array of the given rank."""
    shape = [1] * rank
    shape[axis] = len(labels)
    return labels.reshape(shape)


def channel_axis(layer: Any, rank: int) -> int:
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
