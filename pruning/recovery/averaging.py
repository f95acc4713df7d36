"""Averages of a model's variables over the steps of a training, which are often better than the last of them."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


class Averages:
    """Exponential moving averages of all floating variables of a model.

    After step `t` of the training, counted from 1, the average of a weight `w` is
    `m * average + (1 - m) * w` with `m = min(momentum, (1 + t) / (10 + t))`, so that a short training is not dominated
    by where it began, which is where the averages begin too. Variables that are not trained, such as the statistics of
    BatchNormalization, change during a step and not after it: their averages take the same steps with a `t` that is
    less by 1. What does not change has itself as average, bit for bit.

    Keras's own averages (`use_ema` of an optimizer) have neither the growing momentum nor the statistics, and go on
    over a prune, after which old weights mean little.

    Source: Polyak & Juditsky 1992, Acceleration of Stochastic Approximation by Averaging; the growing momentum is that
    of TensorFlow's ExponentialMovingAverage.

    Args:
        model: Its variables are read; the averages begin as they are.
        momentum: What `m` grows to, above 0 and below 1.
    """

    def __init__(self, model: keras.Model, momentum: float) -> None:
        self._momentum = momentum
        self._owners = [each for each in model.variables if keras.backend.is_float_dtype(each.dtype)]
        self._means = [
            # Half precision is too coarse for what each step adds; JAX takes no memory that two variables share.
            keras.Variable(
                _copied(owner),
                dtype=keras.backend.result_type(owner.dtype, "float32"),
                trainable=False,
                name="mean",
            )
            for owner in self._owners
        ]
        self._count = keras.Variable(0, dtype="int32", trainable=False, name="count")

    @property
    def variables(self) -> list[keras.Variable]:
        """All that `update` changes."""
        return [self._count, *self._means]

    def update(self) -> None:
        """Take the variables in; called in each step, before the weights change, also while it is traced."""
        count = ops.cast(self._count, "float32")
        share = 1 - ops.minimum(self._momentum, (1 + count) / (10 + count))
        for owner, mean in zip(self._owners, self._means, strict=True):
            difference = ops.cast(owner, mean.dtype) - mean
            mean.assign(mean + ops.cast(share, mean.dtype) * difference)
        self._count.assign(self._count + 1)

    def values(self) -> list[np.ndarray]:
        """Return the averages up to the last step, for all floating variables in the order of the model's."""
        count = int(self._count)
        share = 1 - min(self._momentum, (1 + count) / (10 + count)) if count else 0.0
        means = [_copied(mean) for mean in self._means]
        # Weights have changed since the last update, and what is not trained has not.
        return [
            mean + mean.dtype.type(share) * (_copied(owner).astype(mean.dtype) - mean) if owner.trainable else mean
            for owner, mean in zip(self._owners, means, strict=True)
        ]

    def swap(self, values: list[np.ndarray]) -> list[np.ndarray]:
        """Give the model's floating variables other values, and return those that they had."""
        before = [_copied(owner) for owner in self._owners]
        for owner, value in zip(self._owners, values, strict=True):
            owner.assign(ops.cast(value, owner.dtype))
        return before

    def state(self) -> list[np.ndarray]:
        """Return all that is needed to go on later, beside the model's own variables."""
        return [_copied(variable) for variable in self.variables]

    def restore(self, state: list[np.ndarray]) -> None:
        """Go on where averages of the same model were when they gave this state."""
        for variable, value in zip(self.variables, state, strict=True):
            variable.assign(value)


class Averaging(keras.callbacks.Callback):
    """Measure averages on the validation set, train on from what was averaged, and leave the averages behind.

    Args:
        averages: Of the model that is trained, whose training step updates them.
    """

    def __init__(self, averages: Averages) -> None:
        super().__init__()
        self._averages = averages
        self._trained: list[np.ndarray] = []

    def on_test_begin(self, logs: object = None) -> None:
        self._trained = self._averages.swap(self._averages.values())

    def on_test_end(self, logs: object = None) -> None:
        self._averages.swap(self._trained)

    def on_train_end(self, logs: object = None) -> None:
        self._averages.swap(self._averages.values())


def _copied(variable: keras.Variable) -> np.ndarray:
    """Return a value that stays when the variable changes."""
    return np.array(ops.convert_to_numpy(variable))
