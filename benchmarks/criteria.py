"""Every criterion in a job through HTTP on the built-in digits: accuracy right after the prune, beside `random`.

    ridurre serve &
    python -m benchmarks.criteria [--url URL | --local] [--ratio R] [--seeds N] [--json FILE]

Trains a small residual network from as many seeds, and prunes each of them once with each criterion, which also gets
that seed, without any fine-tuning. `--local` measures, in this process and much sooner, the network with the same
channels masked, which the proof of each job shows to be equal. A criterion fails to beat `random` where its mean over
the seeds is lower.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from rich.console import Console
from rich.table import Table

import ridurre
from pruning import PruningSpec, make_plan
from pruning.catalog import CRITERIA
from pruning.graph.groups import ChannelGraph
from pruning.proof.masking import Mask
from pruning.surgery.cutting import kept_channels
from worker.datasets import load_builtin


def main() -> None:
    """Run all jobs, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=None)
    parser.add_argument("--local", action="store_true", help="in this process, without a service")
    parser.add_argument("--ratio", type=float, default=0.1, help="share of each group's channels that goes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--criteria", nargs="*", default=list(CRITERIA), choices=list(CRITERIA), metavar="NAME")
    parser.add_argument("--json", type=Path, default=Path("var/criteria.json"))
    arguments = parser.parse_args()
    started = time.monotonic()
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in arguments.criteria}
    for seed in range(arguments.seeds):
        model = trained(seed)
        measure = in_this_process if arguments.local else in_jobs
        for name, figures in measure(model, arguments, seed).items():
            rows[name].append(figures)
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"ratio": arguments.ratio, "rows": rows}, indent=2))
    show(rows, arguments.ratio, time.monotonic() - started)


def in_jobs(model: keras.Model, arguments: argparse.Namespace, seed: int) -> dict[str, dict[str, float]]:
    """Return what each criterion's job reports of its prune."""
    with ridurre.Client(arguments.url) as client, tempfile.TemporaryDirectory() as directory:
        path = Path(directory, f"digits-{seed}.keras")
        model.save(path)
        uploaded = client.upload_model(path)
        training = {"fine_tuning_epochs": 0}
        jobs = {
            name: client.submit(uploaded, "digits", criterion=name, ratio=arguments.ratio, seed=seed, training=training)
            for name in arguments.criteria
        }
        for job in jobs.values():
            client.wait(job.id).raise_unless_succeeded()
        return {name: reported(client.report(job.id)) for name, job in jobs.items()}


def in_this_process(model: keras.Model, arguments: argparse.Namespace, seed: int) -> dict[str, dict[str, float]]:
    """Return the figures of the network with the channels masked that each criterion would remove."""
    data, rows = load_builtin("digits"), {}
    (images,), (digits,) = data.x_val.values(), data.y_val.values()
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    graph = ChannelGraph(model)
    before = model.evaluate(images, digits, batch_size=512, verbose=0, return_dict=True)
    for name in arguments.criteria:
        plan = make_plan(model, PruningSpec(criterion=name, ratio=arguments.ratio, seed=seed), data)
        masked = Mask.of(graph, graph.stays(kept_channels(graph, plan))).weights.values()
        weights = [(variable, np.array(keras.ops.convert_to_numpy(variable))) for variable, _ in masked]
        for variable, value in masked:
            variable.assign(value)
        after = model.evaluate(images, digits, batch_size=512, verbose=0, return_dict=True)
        for variable, value in weights:
            variable.assign(value)
        rows[name] = {
            "accuracy_before": before["accuracy"],
            "accuracy": after["accuracy"],
            "loss": after["loss"],
            "params_left": plan.params_after / plan.params_before,
        }
    return rows


def trained(seed: int) -> keras.Model:
    """Return a network of two residual stages, trained on the digits."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((8, 8, 1), name="image")
    x = block(layers.Rescaling(1 / 16)(inputs), 16)
    x = layers.Add()([x, block(block(x, 16), 16)])
    x = layers.MaxPooling2D()(block(x, 32))
    x = layers.Add()([x, block(block(x, 32), 32)])
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(x), name="digits")
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    data = load_builtin("digits")
    (images,), (digits,) = data.x_train.values(), data.y_train.values()
    model.fit(images, digits, batch_size=64, epochs=20, verbose=0)
    return model


def block(x: Any, filters: int) -> Any:
    """Convolve, normalize, rectify."""
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def reported(report: dict[str, Any]) -> dict[str, float]:
    """Return what a job's report says of its prune."""
    before, after = report["steps"][0], next(step for step in report["steps"] if step["step"] == "pruning")
    return {
        "accuracy_before": before["metrics"]["accuracy"],
        "accuracy": after["metrics"]["accuracy"],
        "loss": after["metrics"]["loss"],
        "params_left": after["params"] / before["params"],
    }


def show(rows: dict[str, list[dict[str, float]]], ratio: float, seconds: float) -> None:
    """Print the means, best first."""
    count = max(len(each) for each in rows.values())
    table = Table(
        "criterion", "mean accuracy", "lowest", "highest", "mean loss", "parameters left", "beats random",
        title=f"ratio {ratio}, before fine-tuning, {count} seeds, {seconds:.0f} s",
    )  # fmt: skip
    means = {name: float(np.mean([row["accuracy"] for row in each])) for name, each in rows.items()}
    for name in sorted(rows, key=means.__getitem__, reverse=True):
        accuracies = [row["accuracy"] for row in rows[name]]
        beats = "" if name == "random" or "random" not in means else "yes" if means[name] >= means["random"] else "no"
        others = [f"{np.mean([row[key] for row in rows[name]]):.3f}" for key in ("loss", "params_left")]
        table.add_row(name, f"{means[name]:.3f}", f"{min(accuracies):.3f}", f"{max(accuracies):.3f}", *others, beats)
    console = Console(width=110)
    console.print(table)
    first = next(iter(rows.values()))
    console.print(f"mean accuracy before the prune {np.mean([row['accuracy_before'] for row in first]):.3f}")


if __name__ == "__main__":
    main()
