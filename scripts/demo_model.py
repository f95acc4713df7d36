"""The demo's network and data.

    demo_model.py build model.keras        writes the network, untrained
    demo_model.py data data.npz            writes the digits that it is for
    demo_model.py evaluate pruned.keras    measures a pruned one

The last line of the output is JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from pruning.datasets.builtin import load_builtin


def build(path: Path) -> dict[str, Any]:
    """Write an untrained residual network for images of 8x8x1 in 10 classes."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Rescaling(1 / 16, name="rescale")(inputs)
    x = shortcut = block(x, 32, "stem")
    x = block(x, 32, "body_1")
    x = layers.Conv2D(32, 3, padding="same", use_bias=False, name="body_2_conv")(x)
    x = layers.BatchNormalization(name="body_2_norm")(x)
    x = layers.Add(name="add")([x, shortcut])
    x = layers.ReLU(name="add_relu")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = block(x, 64, "head")
    x = layers.GlobalAveragePooling2D(name="average")(x)
    outputs = layers.Dense(10, activation="softmax", name="classes")(x)
    model = keras.Model(inputs, outputs, name="digits")
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.save(path)
    return {
        "summary": f"{len(model.layers)} layers, {model.count_params():,} parameters, {path.stat().st_size:,} bytes"
    }


def block(x: Any, filters: int, name: str) -> Any:
    """Convolve, normalize, rectify."""
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def data(path: Path) -> dict[str, Any]:
    """Write the built-in digits as a file, with the validation images that the worker holds out."""
    digits = load_builtin("digits")
    arrays = {
        name: array for name in ("x_train", "y_train", "x_val", "y_val") for array in getattr(digits, name).values()
    }
    np.savez_compressed(path, **arrays)
    return {"summary": ", ".join(f"{name} {array.shape}" for name, array in arrays.items())}


def evaluate(path: Path) -> dict[str, Any]:
    """Load a model with plain Keras and measure it on the validation images that the worker holds out."""
    model = keras.models.load_model(path)
    held_out = load_builtin("digits")
    (images,), (digits,) = held_out.x_val.values(), held_out.y_val.values()
    predicted = model.predict(images, verbose=0).argmax(axis=-1)
    return {
        "accuracy": float((predicted == digits).mean()),
        "num_samples": len(digits),
        "params": model.count_params(),
    }


if __name__ == "__main__":
    action = {"build": build, "data": data, "evaluate": evaluate}[sys.argv[1]]
    sys.stdout.write(json.dumps(action(Path(sys.argv[2]))) + "\n")
