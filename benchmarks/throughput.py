"""How fast a phase of training is beside `model.fit` of Keras with the same batches and options.

    python -m benchmarks.throughput [--samples N] [--epochs N] [--pairs N] [--json FILE]

Both train the same small residual network on images of random numbers, flipped and cropped, with a validation set.
They take turns in one process, in an order that changes; each trains a model that has trained before, so that nothing
is traced while it is timed. The ratio is the median over the pairs of the time that Keras takes over the time that a
phase takes: at 1 they are equally fast, below 1 the phase is slower. Time of the processor does not count what else
runs on the machine. New statistics at the end of a phase, of which Keras knows nothing, are left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from benchmarks.apart import machine
from pruning.datasets.data import Data
from pruning.recovery.fitting import Recovery
from pruning.recovery.phase import TrainingPhase
from pruning.spec import TrainingSpec
from pruning.training.compiling import Compiling

TRAINING: dict[str, Any] = {
    "batch_size": 64,
    "optimizer": {"name": "sgd", "options": {"momentum": 0.9}},
    "learning_rate": 0.05,
    "augmentation": {"horizontal_flip": True, "crop": 4},
}


def network(width: int = 16, num_blocks: int = 3) -> keras.Model:
    """Return a small residual network for images of 32x32."""
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(width, 3, strides=2, padding="same")(inputs)
    for _ in range(num_blocks):
        hidden = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        hidden = layers.ReLU()(layers.BatchNormalization()(hidden))
        x = layers.Add()([x, layers.Conv2D(width, 3, padding="same")(hidden)])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def images(num_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images of random numbers, shape `(num_samples, 32, 32, 3)`, and labels of ten classes."""
    generator = np.random.default_rng(seed)
    return generator.normal(size=(num_samples, 32, 32, 3)).astype("float32"), generator.integers(0, 10, num_samples)


def measure(num_samples: int, num_epochs: int, num_pairs: int) -> dict[str, Any]:
    """Return seconds of both ways, wall and processor, pair by pair, and their ratios."""
    ways = {"phase": _phase(num_samples, num_epochs), "keras": _keras(num_samples, num_epochs)}
    for run in ways.values():
        run()
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for pair in range(num_pairs):
        for name in sorted(ways, reverse=pair % 2 == 1):
            seconds[name].append(_timed(ways[name]))
    figures: dict[str, Any] = {"seconds": seconds}
    for index, clock in enumerate(("wall", "processor")):
        ratios = [plain[index] / phase[index] for phase, plain in zip(seconds["phase"], seconds["keras"], strict=True)]
        figures[f"{clock} ratio"] = round(statistics.median(ratios), 3)
        figures[f"{clock} ratios"] = [round(ratio, 3) for ratio in ratios]
    return figures


def _recovery(num_samples: int) -> tuple[keras.Model, Compiling, Recovery]:
    keras.utils.set_random_seed(0)
    model, training = network(), TrainingSpec.model_validate(TRAINING)
    data = Data.of((images(num_samples, 0), images(num_samples // 5, 1))).fit_to(model)
    compiling = Compiling(model, training, data)
    return model, compiling, Recovery(training, compiling, compiling.fit_targets(data))


def _phase(num_samples: int, num_epochs: int) -> Callable[[], Any]:
    model, _, recovery = _recovery(num_samples)
    recovery.settle = lambda model, freeze=(): False  # type: ignore[method-assign]
    return lambda: recovery.train(model, TrainingPhase("training", num_epochs, 0), lambda epoch, share, figures: None)


def _keras(num_samples: int, num_epochs: int) -> Callable[[], Any]:
    model, compiling, recovery = _recovery(num_samples)
    compiling.compile(model)
    return lambda: model.fit(
        recovery.training_batches(model, 0),
        validation_data=recovery.validation_batches(model),
        epochs=num_epochs,
        shuffle=False,
        verbose=0,
    )


def _timed(run: Callable[[], Any]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=6400)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = {"machine": machine(), **measure(arguments.samples, arguments.epochs, arguments.pairs)}
    text = json.dumps(figures, indent=2)
    print(text)  # noqa: T201
    if arguments.json:
        arguments.json.write_text(text)


if __name__ == "__main__":
    main()
