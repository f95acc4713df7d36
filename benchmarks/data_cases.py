"""A small network and its data for every kind of target, and what plain Keras says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

SIZE, NUM_TRAIN, NUM_VAL = 8, 24, 12
TOLERANCE = 2e-3
"""How far losses may lie apart: the command shows four digits."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Kind:
    """A kind of target.

    Attributes:
        make: From images of values 0 to 255, shape `(n, 8, 8, 3)`, to targets by output; `None` for one output.
        head: From features to the outputs of the network.
        loss: Of the network, by output if there are several.
        layout: How a zip of images tells it: `classes`, `masks`, `table`; empty where it cannot.
    """

    make: Callable[[np.ndarray], np.ndarray | Arrays | None]
    head: Callable[[keras.KerasTensor], Any]
    loss: str | dict[str, str] | None
    layout: str = ""


def _brightness(x: np.ndarray) -> np.ndarray:
    return np.asarray(x.mean((1, 2)) / 255)


def _label(x: np.ndarray) -> np.ndarray:
    return np.asarray(_brightness(x).argmax(1))


def _dense(units: int, activation: str | None = None, name: str | None = None) -> Callable[[keras.KerasTensor], Any]:
    return lambda x: layers.Dense(units, activation=activation, name=name)(layers.GlobalAveragePooling2D()(x))


def _two(x: keras.KerasTensor) -> list[Any]:
    return [_dense(3, "softmax", "colour")(x), _dense(1, name="light")(x)]


KINDS: dict[str, Kind] = {
    "class numbers": Kind(_label, _dense(3, "softmax"), "sparse_categorical_crossentropy", "classes"),
    "one-hot": Kind(lambda x: np.eye(3)[_label(x)], _dense(3, "softmax"), "categorical_crossentropy"),
    "class numbers, categorical loss": Kind(_label, _dense(3, "softmax"), "categorical_crossentropy", "classes"),
    "binary": Kind(lambda x: (_brightness(x)[:, 0] > 0.5) * 1, _dense(1, "sigmoid"), "binary_crossentropy", "classes"),
    "multi-label": Kind(lambda x: (_brightness(x) > 0.5) * 1, _dense(3, "sigmoid"), "binary_crossentropy", "table"),
    "one number": Kind(lambda x: _brightness(x)[:, 0], _dense(1), "mean_squared_error", "table"),
    "several numbers": Kind(_brightness, _dense(3), "mean_absolute_error", "table"),
    "masks": Kind(
        lambda x: (x[..., :1] > 127) * 1, layers.Conv2D(2, 1, activation="softmax"),
        "sparse_categorical_crossentropy", "masks",
    ),
    "binary masks": Kind(
        lambda x: (x[..., :1] > 127) * 1, layers.Conv2D(1, 1, activation="sigmoid"), "binary_crossentropy", "masks"
    ),
    "several outputs": Kind(
        lambda x: {"colour": _label(x), "light": _brightness(x)[:, 0]}, _two,
        {"colour": "sparse_categorical_crossentropy", "light": "mean_squared_error"}, "table",
    ),
    "none": Kind(lambda x: None, _dense(3, "softmax"), None, "unlabelled"),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A network, and data that it is to be trained on.

    Attributes:
        model: Compiled where there are targets.
        train: Images and targets.
        val: Images and targets.
        kind: See `KINDS`.
    """

    model: keras.Model
    train: tuple[np.ndarray, np.ndarray | Arrays | None]
    val: tuple[np.ndarray, np.ndarray | Arrays | None]
    kind: Kind

    @classmethod
    def of(cls, kind: Kind) -> Case:
        """Make the network and the data, the same each time."""
        keras.utils.set_random_seed(0)
        generator = np.random.default_rng(0)
        tints = generator.integers(0, 256, (NUM_TRAIN + NUM_VAL, 1, 1, 3))
        x = np.clip(tints + generator.integers(-30, 31, (NUM_TRAIN + NUM_VAL, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
        inputs = keras.Input((SIZE, SIZE, 3), name="image")
        hidden = layers.Conv2D(6, 3, padding="same", activation="relu")(layers.Rescaling(1 / 255)(inputs))
        model = keras.Model(inputs, kind.head(hidden))
        if kind.loss is not None:
            model.compile("sgd", kind.loss)
        train, val = x[:NUM_TRAIN], x[NUM_TRAIN:]
        return cls(model, (train, kind.make(train)), (val, kind.make(val)), kind)

    def flat(self) -> Arrays:
        """Return the arrays by the names that an `.npz` has for them."""
        arrays: Arrays = {}
        for split, (x, y) in (("train", self.train), ("val", self.val)):
            arrays[f"x_{split}"] = x
            named = {f".{name}": each for name, each in y.items()} if isinstance(y, dict) else {"": y}
            arrays |= {f"y_{split}{name}": each for name, each in named.items() if each is not None}
        return arrays

    def problem(self, report: dict[str, Any], delivered: keras.Model) -> str | None:
        """Return what is wrong with a report, or `None`."""
        if self.kind.loss is None:
            return None if report["steps"][-1]["params"] < report["steps"][0]["params"] else "nothing was pruned"
        for step, model in ((report["steps"][0], self.model), (report["steps"][-1], delivered)):
            loss = self.loss_of(model)
            if abs(step["metrics"]["val_loss"] - loss) > TOLERANCE * max(1, loss):
                return f"{step['step']}: val_loss {step['metrics']['val_loss']:.4f}, Keras {loss:.4f}"
        return None

    def loss_of(self, model: keras.Model) -> float:
        """Return the loss on the validation set by plain Keras."""
        x, y = self.val
        if self.kind.loss == "categorical_crossentropy" and isinstance(y, np.ndarray) and y.ndim == 1:
            y = np.eye(3)[y]
        model.compile("sgd", self.kind.loss)
        loss: float = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
        return loss
