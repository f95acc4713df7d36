"""Pruned networks without any training: as cut, with statistics measured anew, and reconstructed by least squares.

    python -m benchmarks.reconstruction MODEL.keras IMAGES.zip [--samples N] [--matched EPOCHS] [--json FILE]
    python -m benchmarks.reconstruction MODEL.keras IMAGES.zip --target-params SHARE [--criterion NAME]
    python -m benchmarks.reconstruction --small [--json FILE]

The first takes a classifier and a zip of images by class, of which some training images are seen without their labels.
The second compares what decides how many channels each group loses, by a criterion that may see the labels. The third
trains networks of other kinds on the built-in digits, and fails if one does not get better.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
from keras import layers
from rich.console import Console
from rich.table import Table

from benchmarks.apart import machine
from pruning import PruningSpec, make_plan
from pruning.datasets.builtin import load_builtin
from pruning.datasets.data import Data
from pruning.datasets.images import load_images
from pruning.datasets.rows import taken
from pruning.graph.groups import ChannelGraph
from pruning.recovery.matching import match
from pruning.recovery.reconstruction import reconstruct
from pruning.recovery.statistics import refresh_statistics, trained_normalizations
from pruning.spec import Augmentation, Scope
from pruning.surgery.cutting import kept_channels, prune_channels

RATIOS = (0.2, 0.3, 0.45)
"""Of ResNet-20's channels, so that 64 %, 49 % and 31 % of the parameters are left."""

BATCH = 256

AUGMENTATION = Augmentation(horizontal_flip=True, crop=4)

Row = dict[str, Any]


def main() -> None:
    """Measure, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("--small", action="store_true", help="networks of other kinds, on the digits")
    parser.add_argument("--samples", type=int, default=1024, help="training images, without labels")
    parser.add_argument("--validation", type=int, default=2000, help="validation images")
    parser.add_argument("--matched", type=int, default=0, metavar="EPOCHS", help="then train towards the original")
    parser.add_argument("--ratios", type=float, nargs="*", default=list(RATIOS))
    parser.add_argument("--target-params", type=float, help="share that is left, by each scope")
    parser.add_argument("--criterion", default="taylor", help="for --target-params")
    parser.add_argument("--json", type=Path, default=Path("var/reconstruction.json"))
    arguments = parser.parse_args()
    if not arguments.small and not (arguments.model and arguments.images):
        parser.error("give a model and a zip of images, or --small")
    rows: list[Row] = []
    for row in of_digits() if arguments.small else of_images(arguments):
        rows.append(row)
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2))
    show(rows)
    worse = [row["network"] for row in rows if not row["reconstructed"] > row["cut"]]
    if worse:
        raise SystemExit(f"reconstruction made no better: {', '.join(worse)}")


def of_images(arguments: argparse.Namespace) -> Any:
    """Yield the rows of a classifier of images."""
    model = keras.saving.load_model(arguments.model, compile=False)
    shape = model.input_shape[1:]
    with tempfile.TemporaryDirectory() as scratch:
        data = load_images(arguments.images, shape, Path(scratch), arguments.samples, seed=0)
        data = sampled(data.fit_to(model), arguments.validation)
        base = {"network": model.name, "original": accuracy(model, data)}
        for scope in get_args(Scope) if arguments.target_params else ():
            spec = PruningSpec(
                criterion=arguments.criterion,
                scope=scope,
                target_params=arguments.target_params,
                calibration_samples=arguments.samples,
            )
            yield base | measured(model, spec, data, arguments.matched)
        for ratio in () if arguments.target_params else arguments.ratios:
            uniform = PruningSpec(criterion="l2_norm", ratio=ratio)
            yield base | measured(model, uniform, data, arguments.matched)
            greedy = PruningSpec(criterion="reconstruction", ratio=ratio, calibration_samples=arguments.samples)
            row = measured(model, greedy, data, arguments.matched)
            yield base | row
            spread = PruningSpec(
                criterion="reconstruction",
                scope="global",
                normalisation="none",
                target_params=row["params"],
                calibration_samples=arguments.samples,
            )
            yield base | measured(model, spread, data, arguments.matched)


def of_digits() -> Any:
    """Yield the rows of small networks of several kinds."""
    for name, build in NETWORKS.items():
        keras.utils.set_random_seed(0)
        model = build()
        data = load_builtin("digits").fit_to(model)
        model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
        (images,), (digits,) = data.x_train.values(), data.y_train.values()
        model.fit(images, digits, batch_size=64, epochs=20, verbose=0)
        row = {"network": name, "original": accuracy(model, data)}
        yield row | measured(model, PruningSpec(criterion="l2_norm", ratio=0.4), data, 0)


def measured(model: keras.Model, spec: PruningSpec, data: Data, num_epochs: int) -> Row:
    """Prune once, and return accuracies on the validation images without training."""
    graph, plan = ChannelGraph(model), make_plan(model, spec, data)
    stays = graph.stays(kept_channels(graph, plan))
    cut, refreshed, small = (prune_channels(graph, stays) for _ in range(3))
    inputs = taken(data.x_train, np.arange(data.num_train))
    (images,) = inputs.values()
    normalizations = trained_normalizations(refreshed.model)
    batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    refresh_statistics(refreshed.model, normalizations, batches)
    done = reconstruct(graph, small, stays, data.x_train)
    row = {
        "criterion": f"{spec.criterion}, {spec.scope}",
        "params": plan.params_after / plan.params_before,
        "macs": (plan.macs_after or 0) / (plan.macs_before or 1),
        "cut": accuracy(cut.model, data),
        "statistics": accuracy(refreshed.model, data) if normalizations else None,
        "reconstructed": accuracy(small.model, data),
        "seconds": done.seconds,
        "layers": {each.path: [each.error_before, each.error_after] for each in done.layers},
    }
    if num_epochs:
        matching = match(graph, small, inputs, num_epochs=num_epochs, augmentation=AUGMENTATION)
        row |= {"matched": accuracy(small.model, data), "matching_seconds": matching.seconds}
    return row


def sampled(data: Data, num_validation: int) -> Data:
    """Return the data with some validation samples, drawn at random."""
    chosen = np.random.default_rng(0).permutation(len(next(iter(data.y_val.values()))))[:num_validation]
    x, y = ({name: array[chosen] for name, array in part.items()} for part in (data.x_val, data.y_val))
    return Data(data.x_train, data.y_train, x, y)


def accuracy(model: keras.Model, data: Data) -> float:
    """Return the share of the validation samples whose class is given the highest probability."""
    (images,), (classes,) = data.x_val.values(), data.y_val.values()
    predicted = np.argmax(model.predict(images, batch_size=BATCH, verbose=0), axis=-1)
    return float(np.mean(predicted == classes))


def normalized(x: Any, filters: int, window: int = 3, **settings: Any) -> Any:
    """Convolve, normalize, rectify."""
    x = layers.Conv2D(filters, window, padding="same", use_bias=False, **settings)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def classifier(body: Callable[[Any], Any]) -> keras.Model:
    """Return a classifier of the digits with this body."""
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.GlobalAveragePooling2D()(body(normalized(layers.Rescaling(1 / 16)(inputs), 16)))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def inverted(x: Any) -> Any:
    """Widen, convolve channel by channel, narrow, add, as MobileNetV2 does."""
    for _ in range(2):
        y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(normalized(x, 48, 1))
        y = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(y))
        y = layers.BatchNormalization(momentum=0.9)(layers.Conv2D(16, 1, use_bias=False)(y))
        x = layers.Add()([x, y])
    return x


def grouped(x: Any) -> Any:
    """Convolve in four conv groups between narrow layers, as ResNeXt does."""
    for _ in range(2):
        x = layers.Add()([x, normalized(normalized(normalized(x, 32, 1), 32, 3, groups=4), 16, 1)])
    return x


def dense(x: Any) -> Any:
    """Join all that was made before, as DenseNet does."""
    for _ in range(3):
        x = layers.Concatenate()([x, normalized(x, 12)])
    return x


def u_shaped(x: Any) -> Any:
    """Go down and up again, with a way across, as U-Net does."""
    down = normalized(layers.MaxPooling2D()(x), 32)
    up = layers.Conv2DTranspose(16, 2, strides=2, activation="relu")(down)
    return normalized(layers.Concatenate()([x, up]), 24)


NETWORKS: dict[str, Callable[[], keras.Model]] = {
    body.__name__: lambda body=body: classifier(body)  # type: ignore[misc]
    for body in (inverted, grouped, dense, u_shaped)
}


def show(rows: list[Row]) -> None:
    """Print the table."""
    columns = ("params", "macs", "original", "cut", "statistics", "reconstructed", "matched")
    table = Table("network", "criterion", *columns, "seconds", title="without any training")
    for row in rows:
        figures = ("" if row.get(key) is None else f"{row[key]:.3f}" for key in columns)
        table.add_row(row["network"], row["criterion"], *figures, f"{row['seconds']:.0f}")
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
