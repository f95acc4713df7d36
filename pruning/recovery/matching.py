"""Bringing a pruned network's outputs nearer to the original's by a few steps of training, without targets."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from pruning.datasets.data import Arrays
from pruning.graph.groups import ChannelGraph
from pruning.graph.program import Program
from pruning.keras_model.graph import fixed_batch_size, last_layer, require_graph
from pruning.keras_model.tensors import BackendTensor
from pruning.spec import Augmentation
from pruning.training.augmentation import Motion

_PREDICTED = 128
_SMALLEST = 1e-7


@dataclass(frozen=True)
class Matching:
    """What `match` did.

    Attributes:
        losses: Mean loss in each epoch: squared difference of the outputs over the variance of the original's.
        seconds: What it took.
    """

    losses: tuple[float, ...]
    seconds: float


def match(
    graph: ChannelGraph,
    small: ChannelGraph,
    inputs: Arrays,
    *,
    seed: int = 0,
    num_epochs: int = 10,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    augmentation: Augmentation | None = None,
) -> Matching:
    """Train a pruned network to give out what the original does, in place.

    The loss is the mean squared difference of what the outputs are before their softmax, or of the outputs themselves,
    over the variance of the original's. Everything runs in inference mode: dropout is off, and the statistics of
    BatchNormalization stay. Adam's learning rate falls to 0 along a cosine. Layers that are not trainable stay.

    Source: Ba & Caruana 2014, Do Deep Nets Really Need to be Deep?, arXiv:1312.6184: regression on logits.

    Args:
        graph: The original; never changed.
        small: What was pruned from it; the weights of its model change in place.
        inputs: Samples without targets, by name, in the order of the model's inputs.
        seed: Seed of the order of the samples.
        num_epochs: Passes over the samples.
        batch_size: Samples in a step; a model of a fixed batch size decides itself.
        learning_rate: Adam's, at the start.
        augmentation: Random changes to images, of which the original is asked anew: few samples go further so.

    Returns:
        The losses, and how long it took.

    Raises:
        SpecError: There is augmentation, and the inputs are no images.
    """
    start = time.monotonic()
    arrays = list(inputs.values())
    size = fixed_batch_size(graph.model) or min(batch_size, len(arrays[0]))
    teacher, student = _Outputs(graph.model), _Outputs(small.model)
    targets = _predicted(teacher, arrays, fixed_batch_size(graph.model) or _PREDICTED)
    losses = [_relative_to(max(float(np.var(target)), _SMALLEST)) for target in targets]
    num_steps = max(len(arrays[0]) // size, 1)
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps * num_epochs)
    student.compile(keras.optimizers.Adam(rate), loss=losses, jit_compile=keras.backend.backend() == "jax")
    random, history = np.random.default_rng(seed), []
    for _ in range(num_epochs):
        order = np.resize(random.permutation(len(arrays[0])), num_steps * size)
        told = []
        for rows in np.split(order, num_steps):
            batch, wanted = tuple(array[rows] for array in arrays), [target[rows] for target in targets]
            if augmentation is not None:
                motion = Motion.draw(augmentation, size, random)
                batch = tuple(motion.apply(array) for array in batch)
                wanted = teacher.predict_on_batch(batch)
            told.append(float(np.ravel(student.train_on_batch(batch, wanted))[0]))
        history.append(float(np.mean(told)))
    return Matching(tuple(history), time.monotonic() - start)


class _Outputs(keras.Model):
    """A model in inference mode, with its outputs before a softmax, up to a constant, as a list."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__(name="outputs")
        self.matched = model
        self._run = (Program(model), [_has_softmax(tensor) for tensor in require_graph(model).outputs])
        self.built = True

    def call(self, inputs: Iterable[BackendTensor]) -> list[BackendTensor]:
        program, softmax = self._run
        values = dict(zip(program.inputs, program.standardize(list(inputs)), strict=True))
        outputs = program.run(values, program.outputs)
        return [_logits(output) if has else output for output, has in zip(outputs, softmax, strict=True)]


def _has_softmax(tensor: keras.KerasTensor) -> bool:
    layer = last_layer(tensor)
    return isinstance(layer, keras.layers.Softmax) or getattr(layer, "activation", None) is keras.activations.softmax


def _logits(probabilities: BackendTensor) -> BackendTensor:
    logarithms = ops.log(ops.maximum(probabilities, _SMALLEST))
    return logarithms - ops.mean(logarithms, axis=-1, keepdims=True)


def _relative_to(variance: float) -> Callable[[BackendTensor, BackendTensor], BackendTensor]:
    def loss(target: BackendTensor, output: BackendTensor) -> BackendTensor:
        return ops.mean(ops.square(target - output)) / variance

    return loss


def _predicted(model: _Outputs, arrays: list[np.ndarray], size: int) -> list[np.ndarray]:
    total = len(arrays[0])
    rows = np.resize(np.arange(total), math.ceil(total / size) * size)
    parts = [
        model.predict_on_batch(tuple(array[each] for array in arrays)) for each in np.split(rows, len(rows) // size)
    ]
    return [np.concatenate(each)[:total] for each in zip(*parts, strict=True)]
