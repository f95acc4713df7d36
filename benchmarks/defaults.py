"""What one gets without choosing anything, beside a recipe written by hand with the same number of epochs.

    python -m benchmarks.defaults [--data FOLDER] [--only ROW…] [--seeds N…] [--epochs N] [--json FILE]

Fails where Ridurre is more than 1.5 points of accuracy below the recipe, or loses more than a limit of its own allows.
The rows on CIFAR-10 need a folder with `cifar10.zip` or `cifar10.tar.xz` and the models; the network trained here is
kept in the cache. The recipe gets as many epochs as Ridurre spent, before and after the cut, and cuts as far.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from rich.console import Console
from rich.table import Table

from benchmarks.apart import machine, measured_apart
from benchmarks.images import Images
from benchmarks.recipes import Recipe, accuracy, l1_cosine, uniform_l1
from pruning import Data, InfeasibleError, load_model, prune
from pruning.datasets.builtin import load_builtin
from pruning.surgery.rebuild import copy_model

ALLOWED = 0.015
"""Of accuracy, below the recipe."""

NUM_TRAIN, NUM_VAL = 10_000, 2_000
WIDTHS, CNN_EPOCHS = (32, 32, 64, 64, 96, 48), 20
DEMO_MODEL = Path(__file__).parents[1] / "scripts" / "demo_model.py"

DIGITS = Recipe(optimizer="adam", learning_rate=0.003, batch_size=64)
PHOTOS = Recipe(optimizer="sgd", learning_rate=0.05, batch_size=128, crop=4)

Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One thing that people do.

    Attributes:
        network: Key of `NETWORKS`.
        pruning: What is asked, as in the documentation.
        training: The same for training; all else are defaults.
        recipe: How one would train by hand.
        judged: Which step of the report is compared.
    """

    network: str
    pruning: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe = PHOTOS
    judged: str = "last"


TASKS = {
    "http": Task(
        "digits",
        {"criterion": "kmeans", "ratio": 0.25, "num_iterations": 2},
        {"epochs": 5, "fine_tuning_epochs": 2},
        DIGITS,
    ),
    "client": Task("digits", {"criterion": "kmeans", "target_params": 0.36, "ratio": 0.25}, recipe=DIGITS),
    "demo": Task(
        "digits",
        {"criterion": "kmeans", "ratio": 0.25, "num_iterations": 2},
        {"epochs": 12, "fine_tuning_epochs": 4, "post_training_epochs": 3, "learning_rate": 0.002},
        DIGITS,
        judged="training",
    ),
    "cnn": Task("cnn", {"target_macs": 0.4}),
    "resnet20": Task("resnet20", {"target_params": 0.36}),
    "limit": Task("cnn", {"target_macs": 0.7, "num_iterations": 2, "max_metric_drop": 0.01}, {"fine_tuning_epochs": 5}),
}
"""Name of a row → what is done: README's request over HTTP, README's client, `scripts/demo` as far as its training, a
network trained here and one of a file, and a limit on what may be lost."""


def main() -> None:
    """Measure the rows, print a table, write it, and fail where a row falls short."""
    arguments = parsed()
    rows: list[Row] = []
    for name in arguments.only:
        for seed in arguments.seeds:
            try:
                figures = measured(TASKS[name], seed, arguments)
            except InfeasibleError as error:
                figures = {"passed": False, "stopped_because": str(error)}
            rows.append({"row": name, "seed": seed, **figures})
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))
    show(rows)
    if short := [f"{row['row']}, seed {row['seed']}" for row in rows if not row["passed"]]:
        raise SystemExit(f"falls short: {'; '.join(short)}")


def parsed() -> argparse.Namespace:
    """Return the arguments of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the images and models, for the rows on CIFAR-10")
    parser.add_argument("--cache", type=Path, default=Path("var/cifar10"), help="for images and the trained network")
    parser.add_argument("--only", nargs="*", choices=list(TASKS), default=list(TASKS), metavar="ROW")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--epochs", type=int, help="of fine-tuning after each prune, instead of the default")
    parser.add_argument("--samples", type=int, default=NUM_TRAIN, help="of CIFAR-10 to train on")
    parser.add_argument("--json", type=Path, default=Path("var/defaults.json"))
    arguments = parser.parse_args()
    if arguments.data is None and {TASKS[name].network for name in arguments.only} - {"digits"}:
        parser.error("give --data, or the rows that do without: --only http client demo")
    return arguments


def measured(task: Task, seed: int, arguments: argparse.Namespace) -> Row:
    """Return the figures of one row: Ridurre's, and those of the recipe."""
    keras.utils.set_random_seed(0)  # Of untrained networks.
    model, data = NETWORKS[task.network](arguments)
    training: Row = {**task.training, "seed": seed}
    if arguments.epochs is not None:
        training["fine_tuning_epochs"] = arguments.epochs
    started = time.monotonic()
    result = prune(model, dict(task.pruning), data, training=training)
    seconds = time.monotonic() - started
    spent = {phase: len(history["loss"]) for phase, history in result.history.items()}
    before, after = result.report.before, result.report.after
    steps = {row.step: row.metrics["val_accuracy"] for row in result.report.steps}
    if task.judged == "training":
        ours, cut = steps["training"], None
        spent = {"training": spent["training"]}
    else:
        ours = accuracy(result.model, *held_out(data))
        cut = {"target_macs": after.macs} if "target_macs" in task.pruning else {"target_params": after.params}
    hand = by_hand(task.recipe, model, data, spent, cut, seed)
    limit = task.pruning.get("max_metric_drop")
    original = before.metrics["val_accuracy"]
    is_within_limit = limit is None or (ours >= original - limit and "restoring" not in steps)
    return {
        "original": original,
        "ridurre": ours,
        "recipe": hand,
        "epochs": sum(spent.values()),
        "phases": spent,
        "params_left": after.params / before.params,
        "macs_left": (after.macs or 0) / (before.macs or 1),
        "seconds": seconds,
        "stopped_because": result.report.stopped_because,
        "passed": ours >= hand - ALLOWED and is_within_limit,
    }


def by_hand(
    recipe: Recipe, model: keras.Model, data: Data, spent: Mapping[str, int], cut: Row | None, seed: int
) -> float:
    """Train for as long as Ridurre did before the first prune, cut at once, and train for the rest; return accuracy."""
    x, y = (np.asarray(array) for part in (data.x_train, data.y_train) for array in part.values())
    held = held_out(data)
    copy = copy_model(model)
    first = spent.get("training", 0)
    if first:
        l1_cosine(copy, x, y, *held, epochs=first, seed=seed, recipe=recipe)
    if cut is None:
        return accuracy(copy, *held)
    small = uniform_l1(copy, cut)
    return l1_cosine(small, x, y, *held, epochs=sum(spent.values()) - first, seed=seed, recipe=recipe)


def held_out(data: Data) -> tuple[Any, Any]:
    """Return validation inputs and class numbers."""
    (x,), (y,) = data.x_val.values(), data.y_val.values()
    return x, y


def digits(arguments: argparse.Namespace) -> tuple[keras.Model, Data]:
    """Return the untrained network that README's examples use, with the built-in digits."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.keras"
        measured_apart(str(DEMO_MODEL), "build", str(path))
        return load_model(path), load_builtin("digits")


def cnn(arguments: argparse.Namespace) -> tuple[keras.Model, Data]:
    """Return a network of 164,000 parameters, trained on some of CIFAR-10's images, and these."""
    images = photos(arguments)
    path = arguments.cache / f"cnn-{CNN_EPOCHS}-epochs-{len(images.x_train)}-images.keras"
    if not path.exists():
        model = built()
        l1_cosine(model, *images.data[0], *images.data[1], epochs=CNN_EPOCHS, seed=0, recipe=PHOTOS)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.save(path)
    return load_model(path), Data.of(images.data)


def built() -> keras.Model:
    """Return the network of `cnn`, untrained."""
    x = inputs = keras.Input((32, 32, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    for index, width in enumerate(WIDTHS):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        if index in (1, 3):
            x = layers.MaxPooling2D()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x), name="cnn")


def resnet20(arguments: argparse.Namespace) -> tuple[keras.Model, Data]:
    """Return the ResNet-20 that was adapted to these images, and some of them."""
    return load_model(arguments.data / "resnet20-cifar10-adapted.keras"), Data.of(photos(arguments).data)


def photos(arguments: argparse.Namespace) -> Images:
    """Return some of CIFAR-10's images."""
    return Images.of(arguments.data, arguments.cache).sample(arguments.samples, min(NUM_VAL, arguments.samples))


NETWORKS: dict[str, Callable[[argparse.Namespace], tuple[keras.Model, Data]]] = {
    "digits": digits,
    "cnn": cnn,
    "resnet20": resnet20,
}


def show(rows: list[Row]) -> None:
    """Print the table."""
    columns = ("original", "ridurre", "recipe", "params_left", "macs_left")
    table = Table("row", "seed", *(name.replace("_", " ") for name in columns), "epochs", "s", "")
    for row in rows:
        figures = (f"{row[name]:.4f}" if name in row else "" for name in columns)
        spent = (f"{row[name]:.0f}" if name in row else "" for name in ("epochs", "seconds"))
        verdict = "" if row["passed"] else "falls short"
        table.add_row(row["row"], str(row["seed"]), *figures, *spent, verdict)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
