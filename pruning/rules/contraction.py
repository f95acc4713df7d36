"""Sums of products over an axis of several tensors: einsum, matmul and their relatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import keras
import numpy as np
from keras import layers

from pruning.keras_model.operations import arrays
from pruning.rules.context import Context, LockedError, Rule
from pruning.rules.normalization import axes_of, cut_along
from pruning.rules.records import Labels, Shape, Tensor

BATCH = "0"


@dataclass(frozen=True)
class Constant:
    """An argument that is no tensor of the graph."""

    key: str | int
    value: Any


Operand = Tensor | Constant


def einsum(context: Context, operation: arrays.Einsum, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Any sum of products, by its subscripts."""
    written, _, result = operation.subscripts.replace(" ", "").partition("->")
    if not result:
        raise LockedError("its subscripts leave the result open")
    operands = _operands(context, inputs)
    unused = "".join(letter for letter in ascii_uppercase if letter not in written)
    terms, dots = [], ""
    for term, operand in zip(written.split(","), operands, strict=True):
        missing = _rank(operand) - len(term.replace("...", ""))
        terms.append(term.replace("...", unused[-missing:] if missing else ""))
        dots = max(dots, unused[-missing:] if missing else "", key=len)
    return _contract(context, list(zip(terms, operands, strict=True)), result.replace("...", dots))


def matmul(context: Context, operation: arrays.Matmul, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """The last axis of the first with the last but one of the second; the axes before side by side."""
    first, second = _operands(context, inputs)
    ranks = _rank(first) - 2, _rank(second) - 2
    if min(ranks) < 0:
        raise LockedError("it multiplies a vector")
    before = ascii_uppercase[: max(ranks)]
    terms = [(before[len(before) - ranks[0] :] + "ik", first), (before[len(before) - ranks[1] :] + "kj", second)]
    return _contract(context, terms, before + "ij")


def dot(context: Context, operation: arrays.Dot, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """A tensor and a constant matrix or vector."""
    first, second = _operands(context, inputs)
    if not isinstance(second, Constant) or _rank(second) not in (1, 2):
        raise LockedError("it multiplies tensors of several samples with each other")
    before = ascii_uppercase[: _rank(first) - 1]
    last = "j"[: _rank(second) - 1]
    return _contract(context, [(before + "k", first), ("k" + last, second)], before + last)


def dot_layer(context: Context, layer: layers.Dot, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """`keras.layers.Dot`: one axis of each of two tensors, sample by sample."""
    given = layer.axes if isinstance(layer.axes, list | tuple) else [layer.axes] * 2
    terms = []
    for tensor, axis, letters in zip(inputs, given, (ascii_lowercase, ascii_uppercase), strict=True):
        term = list(BATCH + letters[: len(tensor.shape)])
        term[axes_of(axis, len(tensor.shape))[0] + 1] = "z"
        terms.append("".join(term))
    result = BATCH + "".join(term[1:].replace("z", "") for term in terms)
    labels = _contract(context, list(zip(terms, inputs, strict=True)), result)[0]
    return [labels.reshape(1) if labels.ndim == 0 else labels]


def _operands(context: Context, inputs: list[Tensor]) -> list[Operand]:
    tensors = iter(inputs)
    return [
        next(tensors) if isinstance(value, keras.KerasTensor) else Constant(key, value)
        for key, value in context.arguments.items()
    ]


def _rank(operand: Operand) -> int:
    return np.ndim(operand.value) if isinstance(operand, Constant) else len(operand.shape) + 1


def _contract(context: Context, terms: Sequence[tuple[str, Operand]], result: str) -> list[Labels]:
    """Follow channels through a sum of products, of which each term has a letter for each axis.

    A letter that the result does not have is summed over: its channels live or die together in all terms, and
    zeroing them where they are read leaves them out. At most one axis of the result can hold channels.
    """
    along: dict[str, Labels] = {}
    elsewhere: set[str] = set()
    if any(len(set(term)) < len(term) for term, _ in terms):
        raise LockedError("it takes a diagonal")
    tensors = [(term, operand) for term, operand in terms if isinstance(operand, Tensor)]
    for index, (term, tensor) in enumerate(tensors):
        if not result or term[:1] != result[0]:
            raise LockedError("it moves the batch axis or sums over it")
        varying = context.varying(tensor)
        for axis, letter in enumerate(term[1:]):
            if axis == varying:
                labels = context.along(tensor, axis) if letter in result else context.read(index, tensor, axis)
                context.tie(along.setdefault(letter, labels), labels)
            elif tensor.shape[axis] != 1:
                elsewhere.add(letter)
    for letter in elsewhere & set(along):
        context.fix(along[letter], f"{context.path} multiplies it with a tensor that holds no channels there")
    for term, operand in terms:
        if isinstance(operand, Constant):
            _cut(context, operand, term, along)
    free = sorted((letter for letter in along if letter in result), key=result.index)
    for letter in free[:-1]:
        context.fix(along[letter], f"two axes of the result of {context.path} would hold channels")
    shape = [1] * (len(result) - 1)
    if not free:
        return [np.zeros(shape, dtype=np.int64)]
    shape[result.index(free[-1]) - 1] = len(along[free[-1]])
    return [along[free[-1]].reshape(shape)]


def _cut(context: Context, constant: Constant, term: str, along: dict[str, Labels]) -> None:
    """Let a constant follow the channels along its axes."""
    if isinstance(constant.value, keras.Variable):
        raise LockedError("one of its arguments is a variable that no layer owns")
    held = [axis for axis, letter in enumerate(term) if letter in along and np.shape(constant.value)[axis] != 1]
    if not held:
        context.argument(constant.key)
        return
    context.argument(constant.key, cut_along(held[0]), along[term[held[0]]])
    for axis in held[1:]:
        context.fix(along[term[axis]], f"a constant of {context.path} has channels along two axes")


ROWS: dict[type, Rule] = {
    layers.Dot: dot_layer,
    arrays.Einsum: einsum,
    arrays.Matmul: matmul,
    arrays.Dot: dot,
}
