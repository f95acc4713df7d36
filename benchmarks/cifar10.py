"""ResNets on CIFAR-10, pruned in several ways at the same budget, with an optional small study of the options.

    python -m benchmarks.cifar10 --data FOLDER [--methods NAME…] [--settings NAME…] [--seeds N…] [--jobs N]
    python -m benchmarks.cifar10 --data FOLDER --study budget|criteria|iterations [--epochs N]

The folder holds `cifar10.zip` or `cifar10.tar.xz`, and the models. Everything is chosen and compared on the validation
images, which are half of CIFAR-10's test set. The other half is measured once for each finished model, at its very end,
and in no study. Runs on any backend of Keras; a job is a process of its own, and several fit on one accelerator.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
from rich.console import Console
from rich.table import Table

from benchmarks.apart import machine
from benchmarks.images import Images
from benchmarks.recipes import accuracy
from pruning import PruningSpec, load_model, make_plan, prune

SETTINGS: dict[str, dict[str, float]] = {
    "params 36 %": {"target_params": 0.36},
    "both 45 %": {"target_params": 0.45, "target_macs": 0.45},
}
"""How far to go: at most these shares of the original are left."""

OURS: dict[str, Any] = {"criterion": "l2_norm", "num_iterations": 1}
"""What is asked of the library, besides the setting."""

TRAINING: dict[str, Any] = {
    "batch_size": 128,
    "optimizer": {"name": "SGD", "options": {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}},
    "learning_rate": 0.05,
    "augmentation": {"horizontal_flip": True, "crop": 4},
    "loss": "sparse_categorical_crossentropy",
    "metrics": ["accuracy"],
}
"""How the library fine-tunes."""

BUDGETS = (1, 3, 6, 10, 15, 30)
ITERATIONS = (1, 2, 4)
CRITERIA: dict[str, dict[str, Any]] = {
    name: {"criterion": name} for name in ("random", "l1_norm", "l2_norm", "folded_norm", "coupled_norm")
} | {
    "taylor": {"criterion": "taylor"},
    "taylor, global": {"criterion": "taylor", "scope": "global"},
    "taylor, global, per MAC": {"criterion": "taylor", "scope": "global", "importance_per": "mac"},
    "jacobian": {"criterion": "jacobian"},
    "jacobian, global": {"criterion": "jacobian", "scope": "global"},
    "reconstruction": {"criterion": "reconstruction"},
    "reconstruction, global": {"criterion": "reconstruction", "scope": "global", "normalisation": "none"},
}


@dataclass(frozen=True)
class Case:
    """One model to make and measure.

    Attributes:
        method: Key of `METHODS`.
        label: What sets it apart from others of its method.
        setting: Key of `SETTINGS`.
        epochs: Of fine-tuning, in all.
        seed: Of everything random.
        pruning: Fields of `PruningSpec`, besides the setting.
        training: Fields of `TrainingSpec` that differ from `TRAINING`.
        is_final: Whether the test images are measured.
    """

    method: str
    setting: str
    epochs: int
    seed: int
    label: str = ""
    pruning: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    is_final: bool = True

    @property
    def name(self) -> str:
        """What tells it from all other cases."""
        return " | ".join((self.method, self.label, self.setting, f"{self.epochs} epochs", f"seed {self.seed}"))


@dataclass(frozen=True)
class Base:
    """Where all methods start.

    Attributes:
        model: The trained original; not changed.
        folder: Where further models lie.
        images: What to train and measure on.
    """

    model: keras.Model
    folder: Path
    images: Images


@dataclass(frozen=True)
class Made:
    """What a method makes: the model, epochs that were really spent, and accuracy before any of them."""

    model: keras.Model
    epochs: int
    before_training: float | None = None


def main() -> None:
    """Measure all cases that are not known yet, print a table and write it."""
    arguments = parsed()
    cases = study(arguments) if arguments.study else comparison(arguments)
    known = [row for path in arguments.resume_json for row in json.loads(path.read_text())["rows"]]
    rows = [row for row in known if row["name"] in {case.name for case in cases}]
    done = {row["name"] for row in rows}
    missing = [case for case in cases if case.name not in done]
    images = Images.of(arguments.data, arguments.cache)  # Before any job asks for it.
    if arguments.jobs > 1:
        rows += in_jobs(arguments)
    else:
        first, count = arguments.shard
        base = Base(
            load_model(arguments.data / ARCHITECTURES[arguments.architecture]),
            arguments.data,
            images.sample(arguments.samples, arguments.validation),
        )
        for case in missing[first::count]:
            rows.append(measured(case, base))
            write(arguments.json, rows)
            Console(width=160).print(rows[-1]["name"], f"{rows[-1]['validation']:.4f}")
    write(arguments.json, rows)
    show(rows)


def parsed() -> argparse.Namespace:
    """Return the arguments of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the images and models")
    parser.add_argument("--cache", type=Path, default=Path("var/cifar10"), help="folder for the decoded images")
    parser.add_argument("--architecture", choices=list(ARCHITECTURES), default="resnet20")
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS), metavar="NAME")
    parser.add_argument("--settings", nargs="*", choices=list(SETTINGS), default=list(SETTINGS), metavar="NAME")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=15, help="of fine-tuning, in all")
    parser.add_argument("--samples", type=int, help="training images; all if not given")
    parser.add_argument("--validation", type=int, help="validation images, and test images; all if not given")
    parser.add_argument("--study", choices=list(STUDIES), help="compare options of the library instead of methods")
    parser.add_argument("--jobs", type=int, default=1, help="processes beside each other")
    parser.add_argument("--shard", type=int, nargs=2, default=(0, 1), metavar=("FIRST", "STEP"), help="of the cases")
    parser.add_argument("--json", type=Path, default=Path("var/cifar10.json"))
    parser.add_argument("--resume-json", type=Path, nargs="*", default=[], help="files whose rows are not made again")
    return parser.parse_args()


def comparison(arguments: argparse.Namespace) -> list[Case]:
    """Return the cases that compare methods."""
    return [
        Case(method, setting, arguments.epochs, seed, pruning=OURS if method == "ours" else {})
        for setting in arguments.settings
        for method in arguments.methods
        for seed in arguments.seeds
    ]


def study(arguments: argparse.Namespace) -> list[Case]:
    """Return the cases of a study of the library's options."""
    return [
        Case("ours", setting, epochs, seed, label, {**OURS, **pruning}, is_final=False)
        for setting in arguments.settings[:1]
        for label, epochs, pruning in STUDIES[arguments.study](arguments.epochs)
        for seed in arguments.seeds
    ]


Options = list[tuple[str, int, dict[str, Any]]]

STUDIES: dict[str, Callable[[int], Options]] = {
    "budget": lambda epochs: [("budget", each, {}) for each in BUDGETS],
    "criteria": lambda epochs: [(name, epochs, options) for name, options in CRITERIA.items()],
    "iterations": lambda epochs: [(f"{each} iterations", epochs, {"num_iterations": each}) for each in ITERATIONS],
}
"""Name → label, epochs and options of each case, for a number of epochs."""


def in_jobs(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Share the cases among processes, and return the rows of all that ended well."""
    parts = [arguments.json.with_suffix(f".{index}.json") for index in range(arguments.jobs)]
    processes = []
    for index, part in enumerate(parts):
        part.unlink(missing_ok=True)
        command = [sys.executable, "-m", "benchmarks.cifar10", *sys.argv[1:], "--jobs", "1"]
        command += ["--shard", str(index), str(arguments.jobs), "--json", str(part)]
        processes.append(subprocess.Popen(command))
    failed = [index for index, process in enumerate(processes) if process.wait() != 0]
    if failed:
        Console(stderr=True).print(f"[red]jobs {failed} of {arguments.jobs} failed; their finished rows are kept[/]")
    return [row for part in parts if part.exists() for row in json.loads(part.read_text())["rows"]]


def measured(case: Case, base: Base) -> dict[str, Any]:
    """Make one model and return its row."""
    keras.utils.set_random_seed(case.seed)
    started = time.monotonic()
    made = METHODS[case.method](case, base)
    seconds = time.monotonic() - started
    images = base.images
    (params, macs), (params_before, macs_before) = size(made.model), size(base.model)
    return {
        "name": case.name,
        **asdict(case),
        "backend": keras.backend.backend(),
        "samples": len(images.x_train),
        "spent_epochs": made.epochs,
        "params": params,
        "macs": macs,
        "params_left": params / params_before,
        "macs_left": macs / macs_before,
        "original": accuracy(base.model, images.x_val, images.y_val),
        "before_training": made.before_training,
        "validation": accuracy(made.model, images.x_val, images.y_val),
        "test": accuracy(made.model, images.x_test, images.y_test) if case.is_final else None,
        "seconds": seconds,
    }


def size(model: keras.Model) -> tuple[int, int]:
    """Return parameters and multiply-accumulates of a model."""
    plan = make_plan(model, PruningSpec(ratio=0.01))
    return plan.params_before, plan.macs_before or 0


def ours(case: Case, base: Base) -> Made:
    """Prune with the library; the epochs are divided over the iterations."""
    return pruned(case, base, {**case.pruning, **SETTINGS[case.setting]})


def random(case: Case, base: Base) -> Made:
    """Do the same with channels that are drawn."""
    return pruned(case, base, {**OURS, "criterion": "random", **SETTINGS[case.setting]})


def pruned(case: Case, base: Base, spec: dict[str, Any]) -> Made:
    """Prune with the library, and tell what was spent."""
    each = case.epochs // (spec.get("num_iterations") or 1)
    training = {**TRAINING, "fine_tuning_epochs": each, "seed": case.seed, **case.training}
    result = prune(base.model, {"seed": case.seed, **spec}, base.images.data, training=training)
    spent = sum(len(history["loss"]) for history in result.history.values())
    first = next(row for row in result.report.steps if row.step == "pruning")
    return Made(result.model, spent, first.metrics["accuracy"])


METHODS: dict[str, Callable[[Case, Base], Made]] = {
    "ours": ours,
    "random": random,
}

ARCHITECTURES = {"resnet20": "resnet20-cifar10-adapted.keras"}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    columns = ("params_left", "macs_left", "before_training", "validation", "test")
    original = rows[0]["original"] if rows else 0.0
    table = Table("case", *(name.replace("_", " ") for name in columns), "epochs", "s")
    table.title = f"accuracy of the original on the validation images: {original:.4f}"
    for row in rows:
        figures = ["" if row[name] is None else f"{row[name]:.4f}" for name in columns]
        table.add_row(row["name"], *figures, str(row["spent_epochs"]), f"{row['seconds']:.0f}")
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
