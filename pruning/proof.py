"""The proof: the pruned model computes what the original does without the removed channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from pruning.errors import VerificationError
from pruning.graph.groups import ChannelGraph
from pruning.graph.models import last_layer, require_graph
from pruning.plan import PruningPlan
from pruning.selection import kept_channels
from pruning.surgery import mask_channels, rebuild

TOLERANCE = 1e-5
"""Largest relative difference accepted."""

_FLOATING = ("float16", "bfloat16", "float32", "mixed_float16", "mixed_bfloat16")

_UNKNOWN_SIZES = (32, 64, 128, 224)


@dataclass(frozen=True)
class Proof:
    """The result of comparing a pruned model with its masked original.

    Attributes:
        passed: Whether every output agrees within `TOLERANCE`.
        max_relative_difference: Largest absolute difference over the largest absolute value, worst output.
        precision: `"float32"`, or `"float64"` where rounding alone went beyond the tolerance.
        num_samples: Random inputs compared.
        output_spread: Largest relative difference between the outputs for two inputs. Near 0 the outputs
            hardly depend on the input, and their agreement says little.
    """

    passed: bool
    max_relative_difference: float
    precision: str
    num_samples: int
    output_spread: float

    def require(self) -> None:
        """Refuse a model that is not proven right.

        Raises:
            VerificationError: The proof failed.
        """
        if not self.passed:
            raise VerificationError(
                "The pruned model does not compute what the original computes without the removed channels.",
                field="model",
                received=f"relative difference {self.max_relative_difference:.2e}",
                expected=f"at most {TOLERANCE:.0e}",
                hint="This is a defect of the library, not of your model: please report the architecture.",
            )


def verify(model: keras.Model, small: keras.Model, plan: PruningPlan, *, num_samples: int = 4, seed: int = 0) -> Proof:
    """Compare the pruned model with the original in which every removed channel is zeroed where it is read.

    Compared are all outputs, before a final softmax or sigmoid, on the same random inputs, in inference
    mode.

    Args:
        model: The model that was pruned; not changed.
        small: What `apply_plan(model, plan)` gave; not changed.
        plan: The plan between the two.
        num_samples: Batch size of the random input.
        seed: Seed of the random input.

    Raises:
        PlanError: The plan was made for another architecture.
    """
    graph = ChannelGraph(model)
    masked = mask_channels(graph, graph.stays(kept_channels(graph, plan)))
    return compare(masked, small, num_samples=num_samples, seed=seed)


def compare(expected: keras.Model, actual: keras.Model, *, num_samples: int = 4, seed: int = 0) -> Proof:
    """Compare all outputs of two models, before a final softmax or sigmoid, on the same random inputs.

    Both compute in float32, whatever their own precision; where they differ, once more in float64, which
    tells a wrong model from rounding errors that cancellation made large.
    """
    inputs = random_inputs(expected, num_samples=num_samples, seed=seed)
    proof = _compare(expected, actual, inputs, "float32")
    return proof if proof.passed else _compare(expected, actual, inputs, "float64")


def _compare(expected: keras.Model, actual: keras.Model, inputs: Any, precision: str) -> Proof:
    left, right = (
        [_array(output) for output in keras.tree.flatten(_bare(model, precision)(inputs, training=False))]
        for model in (expected, actual)
    )
    difference = max(relative_difference(a, b) for a, b in zip(left, right, strict=True))
    spread = max(relative_difference(a, np.roll(a, 1, axis=0)) for a in left)
    return Proof(difference <= TOLERANCE, difference, precision, len(left[0]), spread)


def _bare(model: keras.Model, precision: str) -> keras.Model:
    """Return the model in the given precision, without its outputs' softmax or sigmoid.

    Saturated, these would hide any difference.
    """
    last = {id(last_layer(tensor)) for tensor in require_graph(model).outputs}

    def edit(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
        if id(layer) in last and config.get("activation") in ("softmax", "sigmoid"):
            config["activation"] = "linear"
        policy = getattr(layer, "dtype_policy", None)
        if policy is not None and policy.name in _FLOATING:
            config["dtype"] = precision
        return config

    return rebuild(model, edit, lambda layer, values: values)


def relative_difference(expected: np.ndarray, actual: np.ndarray) -> float:
    """Return max |expected - actual| / max |expected| of the worst sample.

    Infinity where shapes differ or a value is not finite.
    """
    if expected.shape != actual.shape or not (np.all(np.isfinite(expected)) and np.all(np.isfinite(actual))):
        return float("inf")
    if expected.size == 0:
        return 0.0
    samples = len(expected)
    scales = np.abs(expected).reshape(samples, -1).max(axis=1)
    differences = np.abs(expected - actual).reshape(samples, -1).max(axis=1)
    return float(np.max(differences / np.where(scales > 0, scales, 1.0)))


def random_inputs(model: keras.Model, *, num_samples: int, seed: int) -> Any:
    """Return random inputs in the model's own structure; axes of unknown size get one that the model takes."""
    generator = np.random.default_rng(seed)
    graph = require_graph(model)
    size = _usable_size(graph)
    arrays = [_random(generator, tensor, [num_samples, *_filled(tensor, size)]) for tensor in graph.inputs]
    return keras.tree.pack_sequence_as(graph._inputs_struct, arrays)


def _usable_size(graph: Any) -> int:
    """Return the first size for axes of unknown size with which the shapes of the whole graph work out."""
    for size in _UNKNOWN_SIZES[:-1]:
        shapes = [(1, *_filled(tensor, size)) for tensor in graph.inputs]
        try:
            graph.compute_output_shape(keras.tree.pack_sequence_as(graph._inputs_struct, shapes))
        except ValueError:
            continue
        return size
    return _UNKNOWN_SIZES[-1]


def _filled(tensor: Any, size: int) -> list[int]:
    return [size if known is None else known for known in tensor.shape[1:]]


def _random(generator: np.random.Generator, tensor: Any, shape: list[int]) -> np.ndarray:
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if "int" in dtype or dtype == "bool":
        return generator.integers(0, 2, size=shape).astype(dtype)
    array = generator.normal(size=shape)
    array[1::2] *= 100  # Models with and without rescaling inside expect inputs of very different size.
    return array.astype("float32")


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor), dtype=np.float64)
