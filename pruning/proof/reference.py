"""What an operation that looks at several channels at once gives when some of them are left out.

Written from the definitions in NumPy, apart from Keras's own code, for the proof: zeroing a channel does not
take it out of a mean, a norm or a softmax. Each reference is called with the operation, with its flattened
arguments as arrays and with, for each argument, which of its entries are there: `True`, or booleans that
broadcast to it. What it gives for channels that are left out is never read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np
from keras import layers

from pruning.keras_model.graph import takes_mask
from pruning.keras_model.masks import mask_of, with_mask
from pruning.keras_model.operations import arrays, nn, sums
from pruning.keras_model.tensors import BackendTensor

Softmax = layers.Softmax | nn.Softmax | nn.LogSoftmax

Values = Sequence[np.ndarray]
"""Arguments of an operation, flattened; those that are no tensors are as they were."""
Present = Sequence[np.ndarray | bool]
"""For each of them which of its entries are there: `True`, or booleans that broadcast to it."""
Reference = Callable[[Any, Values, Present], np.ndarray]


class Reduction(Protocol):
    """An operation that makes one entry of many."""

    axis: int | list[int] | tuple[int, ...] | None
    keepdims: bool


def left_out(
    operation: keras.Operation, args: Sequence[object], kwargs: Mapping[str, Any], present: Mapping[int, np.ndarray]
) -> object:
    """Call an operation with some channels of its inputs left out.

    Operations that have no row in `REFERENCES` add up products, so that a channel of zeros does not count. Masks
    that Keras hangs on tensors are passed on as the operation itself does it.

    Args:
        operation: A layer or an operation.
        args: Its arguments by position.
        kwargs: Its arguments by name.
        present: Position among the flattened arguments → booleans that broadcast to that argument.

    Returns:
        A tensor, or what the operation itself returns.
    """
    flat = keras.tree.flatten((args, kwargs))
    reference = REFERENCES.get(type(operation))
    if reference is None:
        for position, there in present.items():
            zeroed = keras.ops.where(there, flat[position], keras.ops.zeros_like(flat[position]))
            flat[position] = with_mask(zeroed, mask_of(flat[position]))
        args, kwargs = keras.tree.pack_sequence_as((args, kwargs), flat)
        return operation(*args, **kwargs)
    first = flat[0]
    mask = mask_of(first) if kwargs.get("mask") is None else kwargs["mask"]
    counted: list[np.ndarray | bool] = [present.get(position, True) for position in range(len(flat))]
    if mask is not None and takes_mask(operation):
        counted[0] = np.logical_and(counted[0], _array(mask) > 0.5)
    values = [
        keras.ops.convert_to_numpy(value).astype("float64") if hasattr(value, "dtype") else value for value in flat
    ]
    dtype = getattr(operation, "compute_dtype", None) or keras.backend.standardize_dtype(first.dtype)
    result = keras.ops.convert_to_tensor(reference(operation, values, counted), dtype=dtype)
    if isinstance(operation, keras.Layer) and operation.supports_masking:
        return with_mask(result, operation.compute_mask(first, mask))
    return result


def _array(tensor: BackendTensor | keras.Variable) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor), dtype="float64")


def _axes(axis: int | list[int] | tuple[int, ...] | None, rank: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(rank))
    return tuple(sorted(one % rank for one in (axis if isinstance(axis, list | tuple) else [axis])))


def _laid(weight: keras.Variable, axes: Sequence[int], rank: int) -> np.ndarray:
    """Return a weight whose axes lie along these axes of a tensor, broadcastable to it."""
    value = _array(weight)
    shape = [1] * rank
    for axis, size in zip(axes, value.shape, strict=True):
        shape[axis] = size
    return value.reshape(shape)


def _layer_normalization(layer: layers.LayerNormalization, inputs: Values, present: Present) -> np.ndarray:
    """Ba et al. 2016, arXiv:1607.06450, section 3: over the channels that are there."""
    x = inputs[0]
    axes = _axes(layer.axis, x.ndim)
    mean = np.mean(x, axis=axes, keepdims=True, where=present[0])
    variance = np.mean((x - mean) ** 2, axis=axes, keepdims=True, where=present[0])
    centre = 0.0 if layer.rms_scaling else mean
    result: np.ndarray = (x - centre) / np.sqrt(variance + layer.epsilon)
    if layer.gamma is not None:
        result = result * _laid(layer.gamma, axes, x.ndim)
    if layer.beta is not None:
        result = result + _laid(layer.beta, axes, x.ndim)
    return result


def _group_normalization(layer: layers.GroupNormalization, inputs: Values, present: Present) -> np.ndarray:
    """Wu & He 2018, arXiv:1803.08494, section 3.1: over all positions and a group's channels that are there."""
    x = inputs[0]
    axis = layer.axis % x.ndim
    there = np.broadcast_to(present[0], x.shape)
    result: np.ndarray = np.zeros_like(x)
    for group in np.split(np.arange(x.shape[axis]), layer.groups):
        part, counted = np.take(x, group, axis=axis), np.take(there, group, axis=axis)
        axes = tuple(range(1, x.ndim))
        mean = np.mean(part, axis=axes, keepdims=True, where=counted)
        variance = np.mean((part - mean) ** 2, axis=axes, keepdims=True, where=counted)
        index = (slice(None),) * axis + (group,)
        result[index] = (part - mean) / np.sqrt(variance + layer.epsilon)
    if layer.gamma is not None:
        result *= _laid(layer.gamma, [axis], x.ndim)
    if layer.beta is not None:
        result += _laid(layer.beta, [axis], x.ndim)
    return result


def _rms_normalization(layer: layers.RMSNormalization, inputs: Values, present: Present) -> np.ndarray:
    """Zhang & Sennrich 2019, arXiv:1910.07467, equation 4: over the channels that are there."""
    x = inputs[0]
    axes = _axes(layer.axis, x.ndim)
    square = np.mean(x**2, axis=axes, keepdims=True, where=present[0])
    return np.asarray(x / np.sqrt(square + layer.epsilon) * _laid(layer.scale, axes, x.ndim))


def _unit_normalization(layer: layers.UnitNormalization, inputs: Values, present: Present) -> np.ndarray:
    """Length 1 over the channels that are there."""
    x = inputs[0]
    square = np.sum(x**2, axis=_axes(layer.axis, x.ndim), keepdims=True, where=present[0])
    return np.asarray(x / np.sqrt(np.maximum(square, 1e-24)))


def _softmax(operation: Softmax, inputs: Values, present: Present) -> np.ndarray:
    with np.errstate(over="ignore"):  # As in `_log_sum`.
        shares = np.exp(_log_softmax(operation, inputs, present))
    return np.where(present[0], shares, 0.0)


def _log_softmax(operation: Softmax, inputs: Values, present: Present) -> np.ndarray:
    return np.asarray(inputs[0] - _log_sum(inputs[0], _axes(operation.axis, inputs[0].ndim), present[0], keepdims=True))


def _log_sum(x: np.ndarray, axes: tuple[int, ...], there: np.ndarray | bool, keepdims: bool) -> np.ndarray:
    top = np.max(x, axis=axes, keepdims=True, where=there, initial=-np.inf)
    # Only a channel that is left out may lie above the largest one; where all are masked, none is there.
    with np.errstate(over="ignore", divide="ignore"):
        total = np.log(np.sum(np.exp(x - top), axis=axes, keepdims=True, where=there)) + top
    return np.asarray(total if keepdims else np.squeeze(total, axis=axes))


def _activation(layer: layers.Activation, inputs: Values, present: Present) -> np.ndarray:
    """Along the last axis; without a softmax, which the proof may have taken off, nothing is done."""
    share = keras.activations.softmax, keras.activations.log_softmax
    if layer.activation not in share:
        return np.asarray(inputs[0])
    logarithms = inputs[0] - _log_sum(inputs[0], (inputs[0].ndim - 1,), present[0], keepdims=True)
    if layer.activation is share[1]:
        return np.asarray(logarithms)
    with np.errstate(over="ignore"):  # As in `_log_sum`.
        return np.where(present[0], np.exp(logarithms), 0.0)


def _logsumexp(operation: sums.Logsumexp, inputs: Values, present: Present) -> np.ndarray:
    return _log_sum(inputs[0], _axes(operation.axis, inputs[0].ndim), present[0], operation.keepdims)


def _reduction(function: Callable[..., np.ndarray], **start: float) -> Reference:
    """Return the reference of a NumPy reduction, which can leave entries out by itself.

    Args:
        function: The reduction.
        start: `initial`, unless the operation has one of its own.
    """

    def reference(operation: Reduction, inputs: Values, present: Present) -> np.ndarray:
        axes = _axes(operation.axis, inputs[0].ndim)
        own = getattr(operation, "initial", None)
        initial = start if own is None else {"initial": own}
        return np.asarray(function(inputs[0], axis=axes, keepdims=operation.keepdims, where=present[0], **initial))

    return reference


def _normalize(operation: nn.Normalize, inputs: Values, present: Present) -> np.ndarray:
    x = inputs[0]
    axes = _axes(operation.axis, x.ndim)
    epsilon = keras.config.epsilon() if operation.epsilon is None else operation.epsilon
    size = np.sum(np.abs(x) ** operation.order, axis=axes, keepdims=True, where=present[0])
    return np.asarray(x / np.maximum(size ** (1 / operation.order), epsilon))


REFERENCES: dict[type, Reference] = {
    layers.LayerNormalization: _layer_normalization,
    layers.GroupNormalization: _group_normalization,
    layers.RMSNormalization: _rms_normalization,
    layers.UnitNormalization: _unit_normalization,
    layers.Softmax: _softmax,
    layers.Activation: _activation,
    nn.Softmax: _softmax,
    nn.LogSoftmax: _log_softmax,
    sums.Logsumexp: _logsumexp,
    nn.Normalize: _normalize,
    arrays.Mean: _reduction(np.mean),
    arrays.Var: _reduction(np.var),
    arrays.Std: _reduction(np.std),
    arrays.Prod: _reduction(np.prod),
    arrays.All: _reduction(np.all),
    arrays.Any: _reduction(np.any),
    arrays.Max: _reduction(np.max, initial=-np.inf),
    arrays.Amax: _reduction(np.max, initial=-np.inf),
    arrays.Min: _reduction(np.min, initial=np.inf),
    arrays.Amin: _reduction(np.min, initial=np.inf),
}

REDUCTIONS = frozenset(
    {
        *(sums.Logsumexp, arrays.Mean, arrays.Var, arrays.Std, arrays.Prod),
        *(arrays.Max, arrays.Amax, arrays.Min, arrays.Amin),
    }
)
"""Operations whose output has the channels no more."""
