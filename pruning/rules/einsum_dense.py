"""Dense layers written as an Einstein sum."""

from __future__ import annotations

import re

import numpy as np
from keras import layers

from pruning.keras_model.weights import stored_kernel
from pruning.rules.activation import require_channelwise
from pruning.rules.context import Context, LockedError, Rule, single, spread
from pruning.rules.quantised import measures_inputs, stored
from pruning.rules.records import Labels, Role, Shape, Tensor


def einsum_dense(
    context: Context, layer: layers.EinsumDense, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """The letters say what becomes of each axis.

    A letter of input and kernel alone is read, one of kernel and output alone is made, one of input and output
    passes channels on. Of the axes that are made only the last is followed, and none where channels pass: an
    entry of the output can belong to one channel only.
    """
    tensor = single(inputs)
    rank, out_rank = len(tensor.shape), len(outputs[0])
    equation = Equation(layer.equation, rank, out_rank)
    kernel = stored(context, layer, "kernel")
    measures = measures_inputs(layer)
    varies = [size > 1 for size in tensor.labels.shape]
    for letter, axis in equation.inputs.items():
        if letter in equation.kernel or letter in equation.outputs:
            continue
        if varies[axis]:
            raise LockedError(f"it adds up its channels, along {letter} of {layer.equation}")
    passing = [
        (equation.inputs[letter], axis, letter)
        for letter, axis in equation.outputs.items()
        if letter in equation.inputs
    ]
    passing = [(axis, out_axis, letter) for axis, out_axis, letter in passing if varies[axis]]
    labels = np.zeros((1,) * out_rank, dtype=np.int64)
    context.same_for_all_channels(kernel)
    for variable in (layer.bias, layer.kernel_scale if layer.quantization_mode == "int8" else None):
        if variable is not None:
            context.same_for_all_channels(variable)
    for letter, axis in equation.inputs.items():
        if letter in equation.kernel and letter not in equation.outputs and (varies[axis] or not any(varies)):
            read = context.read(0, tensor, axis) if measures else context.along(tensor, axis)
            context.weight(kernel, equation.kernel.index(letter), read, "in")
    if passing:
        axis, out_axis, letter = passing[-1]
        followed = context.along(tensor, axis)
        _lie(context, layer, equation, letter, followed, "through")
        labels = spread(followed, out_axis, out_rank)
    else:
        made = [letter for letter in equation.outputs if letter in equation.kernel and letter not in equation.inputs]
        if made:
            followed = context.new(made[-1], kernel.shape[equation.kernel.index(made[-1])])
            _lie(context, layer, equation, made[-1], followed, "out")
            labels = spread(followed, equation.outputs[made[-1]], out_rank)
    context.multiply(
        kernel, [tensor.shape[axis] for letter, axis in equation.inputs.items() if letter not in equation.kernel]
    )
    require_channelwise(context, layer.activation, labels)
    return [labels]


def _lie(
    context: Context, layer: layers.EinsumDense, equation: Equation, letter: str, labels: Labels, role: Role
) -> None:
    """Lay labels along a letter of kernel, bias and `output_shape`."""
    if letter in equation.kernel:
        context.weight(stored_kernel(layer), equation.kernel.index(letter), labels, role)
        if layer.quantization_mode == "int8":
            # Of the output's rank, with the batch axis.
            context.weight(layer.kernel_scale, equation.outputs[letter] + 1, labels, role)
    if layer.bias is not None and letter in layer.bias_axes:
        first = min(equation.output_letters.index(other) for other in layer.bias_axes)
        context.weight(layer.bias, equation.output_letters.index(letter) - first, labels, "through")
    index = equation.output_letters.find(letter) - equation.batch_letters
    if 0 <= index < len(layer.partial_output_shape) and layer.partial_output_shape[index] is not None:
        context.width("output_shape", labels, index=index)


class Equation:
    """An equation such as `...ab,bc->...ac`, with the axes of a tensor, without the batch axis, for its letters.

    Axes under the ellipsis are named by digits.

    Attributes:
        inputs: Letter → axis of the input.
        outputs: Letter → axis of the output.
        kernel: The kernel's letters, one for each axis.
        output_letters: The output's letters as written, without the ellipsis.
        batch_letters: How many of these stand for the batch axis: 1, or 0 where the ellipsis does.
    """

    def __init__(self, equation: str, rank: int, out_rank: int) -> None:
        match = re.fullmatch(r"(\.\.\.)?(\w+)(\.\.\.)?,(\w+)->(?:\.\.\.)?(\w+)(?:\.\.\.)?", equation.replace(" ", ""))
        if match is None:
            raise LockedError(f"its equation {equation} is not understood")
        left, read, _, self.kernel, self.output_letters = match.groups()
        self.batch_letters = 0 if left else 1
        self.inputs = self._axes(read, rank, bool(left))
        self.outputs = self._axes(self.output_letters, out_rank, bool(left))
        if not left and (read[0] != self.output_letters[0] or read[0] in self.kernel):
            raise LockedError(f"its equation {equation} does more to the batch axis than to pass it on")
        if any(len(set(letters)) < len(letters) for letters in (read, self.kernel, self.output_letters)):
            raise LockedError(f"its equation {equation} takes a diagonal")

    @staticmethod
    def _axes(letters: str, rank: int, left: bool) -> dict[str, int]:
        """Return letter → axis; axes under the ellipsis count from the left in both input and output."""
        letters = letters if left else letters[1:]
        under = rank - len(letters)
        if under < 0:
            raise LockedError("its ellipsis stands for less than the batch axis")
        hidden = [str(index) for index in range(under)]
        return {letter: axis for axis, letter in enumerate([*hidden, *letters] if left else [*letters, *hidden])}


ROWS: dict[type, Rule] = {
    layers.EinsumDense: einsum_dense,
}
