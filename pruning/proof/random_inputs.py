"""Random inputs that a model takes, and how far apart two models' outputs for them are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from pruning.errors import VerificationError
from pruning.keras_model.graph import Functional, pack_inputs, require_graph
from pruning.keras_model.parts import layers_inside

_KINDS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda generator, shape: generator.normal(size=shape),
    "positive": lambda generator, shape: generator.uniform(0.1, 1.0, size=shape),
    "index": lambda generator, shape: generator.integers(0, 2, size=shape).astype(np.float64),
    "zero": lambda generator, shape: np.zeros(shape),
}

_UNKNOWN_SIZES = (32, 64, 128, 224)


def flat_arrays(outputs: object) -> list[np.ndarray]:
    """Return all tensors of a structure as float64."""
    return [np.asarray(keras.ops.convert_to_numpy(tensor), dtype=np.float64) for tensor in keras.tree.flatten(outputs)]


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


def usable_inputs(
    model: keras.Model, run: Callable[[Any], list[np.ndarray]], *, num_samples: int, seed: int
) -> tuple[Any, list[np.ndarray]]:
    """Return random inputs on which the model gives finite outputs, and these outputs.

    Args:
        model: The model.
        run: `inputs -> outputs`, with inputs in the model's own structure.
        num_samples: Batch size, unless the model fixes it.
        seed: Seed of the numbers.

    Raises:
        VerificationError: None of the kinds tried are taken by the model.
    """
    failures = []
    for kind in _KINDS:
        inputs = random_inputs(model, kind, num_samples=num_samples, seed=seed)
        try:
            outputs = run(inputs)
        except Exception as error:  # noqa: BLE001 - every backend has its own errors for an index out of range.
            failures.append(f"{kind}: {type(error).__name__}")
            continue
        if all(np.all(np.isfinite(output)) for output in outputs):
            return inputs, outputs
        failures.append(f"{kind}: NaN or infinite outputs")
    raise VerificationError(
        "There are no random inputs on which the model gives finite outputs.",
        field="model",
        received="; ".join(failures),
        expected="finite outputs for one of these kinds of input",
    )


def random_inputs(model: keras.Model, kind: str, *, num_samples: int, seed: int) -> Any:
    """Return random inputs in the model's own structure; axes of unknown size get one that the model takes.

    Args:
        model: The model.
        kind: One of `normal`, `positive` (0.1 to 1), `index` (0 or 1) and `zero`; words are words in each.
        num_samples: Batch size, unless the model fixes it.
        seed: Seed of the numbers.
    """
    generator = np.random.default_rng(seed)
    graph = require_graph(model)
    size = _usable_size(graph)
    words = _words(model)
    arrays = [
        _random(generator, tensor, kind, words, (tensor.shape[0] or num_samples, *_filled(tensor, size)))
        for tensor in graph.inputs
    ]
    return pack_inputs(graph, arrays)


def _usable_size(graph: Functional) -> int:
    """Return the first size for axes of unknown size with which the shapes of the whole graph work out."""
    for size in _UNKNOWN_SIZES[:-1]:
        shapes = [(1, *_filled(tensor, size)) for tensor in graph.inputs]
        try:
            graph.compute_output_shape(pack_inputs(graph, shapes))
        except ValueError:
            continue
        return size
    return _UNKNOWN_SIZES[-1]


def _filled(tensor: keras.KerasTensor, size: int) -> list[int]:
    return [size if known is None else known for known in tensor.shape[1:]]


def _words(model: keras.Model) -> list[str]:
    """Return words that the model's layers look up, and some that they may not know."""
    looked_up = [layer for layer in layers_inside(model) if hasattr(layer, "get_vocabulary")]
    known = {str(word) for layer in looked_up for word in layer.get_vocabulary()}
    return sorted(known | {"one", "two", "three"})


def _random(
    generator: np.random.Generator, tensor: keras.KerasTensor, kind: str, words: list[str], shape: tuple[int, ...]
) -> np.ndarray:
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if dtype == "string":
        return generator.choice(np.array(words, dtype=object), size=shape)
    if "int" in dtype or dtype == "bool":
        return generator.integers(0, 1 if kind == "zero" else 2, size=shape).astype(dtype)
    array = _KINDS[kind](generator, shape)
    if kind == "normal":
        array[1::2] *= 100  # Models with and without rescaling inside expect inputs of very different size.
    return array.astype("float32")
