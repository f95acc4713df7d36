"""ResNets on CIFAR-10, pruned in several ways at the same budget, with an optional small study of the options.

    python -m benchmarks.cifar10 --data FOLDER [--methods NAME…] [--settings NAME…] [--seeds N…] [--jobs N]
    python -m benchmarks.cifar10 --data FOLDER --study budget|criteria|iterations|recovery [--epochs N]

The folder holds `cifar10.zip` or `cifar10.tar.xz`, and the models. Everything is chosen and compared on the validation
images, which are half of CIFAR-10's test set. The other half is measured once for each finished model, at its very end,
and in no study. Runs on any backend of Keras; a job is a process of its own, and several fit on one accelerator.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
from rich.console import Console
from rich.table import Table

from benchmarks.apart import machine
from benchmarks.images import Images
from benchmarks.recipes import accuracy, l1_cosine
from benchmarks.rivals import METHODS, RECIPE, TRAINING, Base, Case
from pruning import PruningSpec, load_model, make_plan

Row = dict[str, Any]

ARCHITECTURES = {"resnet20": ("resnet20-cifar10-adapted.keras", 0), "resnet56": ("resnet56-cifar10.keras", 8)}
"""Name → file, and epochs by which it is adapted to these images first."""

SETTINGS: dict[str, dict[str, float]] = {
    "params36": {"target_params": 0.36},
    "both45": {"target_params": 0.45, "target_macs": 0.45},
}
"""How far to go: at most these shares of the original are left."""

OURS: Row = {"criterion": "coupled_norm", "num_iterations": 1}
"""What is asked of the library when it prunes, besides the setting."""

TAUGHT: Row = {"distillation": {"weight": 0.7}}
"""What is asked of it when it trains, besides the recipe."""

CONTENDERS: dict[str, tuple[str, str, Row, Row]] = {
    **{name: (name, "", {}, {}) for name in METHODS},
    "ours": ("ours", "distilled", OURS, TAUGHT),
    "ours, plain": ("ours", "plain", OURS, {}),
}
"""Name → method, label, and what is asked of pruning and of training."""

TRAININGS: dict[str, Row] = {"tuned": TRAINING, "default": {name: TRAINING[name] for name in ("loss", "metrics")}}
"""How the library fine-tunes: as the recipe does, or with its own defaults."""

EPOCHS: dict[str | None, int] = {None: 15, "budget": 0, "criteria": 6, "iterations": 12, "recovery": 15}
"""By study, what is spent in all; the budgets have their own."""

BUDGETS = (1, 3, 6, 10, 15, 30)
ITERATIONS = (1, 2, 4)
CRITERIA: dict[str, dict[str, Any]] = {
    name: {"criterion": name} for name in ("random", "l1_norm", "l2_norm", "folded_norm", "coupled_norm")
} | {
    "taylor": {"criterion": "taylor"},
    "taylor, global": {"criterion": "taylor", "scope": "global"},
    "taylor, global, per param": {"criterion": "taylor", "scope": "global", "importance_per": "param"},
    "jacobian": {"criterion": "jacobian"},
    "jacobian, global": {"criterion": "jacobian", "scope": "global"},
    "reconstruction": {"criterion": "reconstruction"},
    "reconstruction, global": {"criterion": "reconstruction", "scope": "global", "normalisation": "none"},
}

GLOBAL: Row = {"scope": "global"}
RECOVERY: dict[str, tuple[Row, Row]] = {
    "plain": ({}, {}),
    "distillation": ({}, TAUGHT),
    "distillation, weight 0.9": ({}, {"distillation": {"weight": 0.9}}),
    "averages": ({}, {"ema": 0.999}),
    "distillation, averages": ({}, {**TAUGHT, "ema": 0.999}),
    "distillation, features": ({}, {"distillation": {"weight": 0.7, "features": 0.5}}),
    "distillation, 2 iterations": ({"num_iterations": 2}, TAUGHT),
    "distillation, 3 iterations": ({"num_iterations": 3}, TAUGHT),
    "distillation, global": (GLOBAL, TAUGHT),
    "distillation, taylor": ({"criterion": "taylor"}, TAUGHT),
    "distillation, taylor, global": ({"criterion": "taylor", "scope": "global"}, TAUGHT),
    "distillation, reconstruction": ({"criterion": "reconstruction"}, TAUGHT),
    "distillation, learning rate 0.1": ({}, {**TAUGHT, "learning_rate": 0.1}),
    "distillation, learning rate 0.02": ({}, {**TAUGHT, "learning_rate": 0.02}),
}
"""What is asked of pruning and of training."""


def main() -> None:
    """Measure all cases that are not known yet, print a table and write it."""
    arguments = parsed()
    images = Images.of(arguments.data, arguments.cache).sample(arguments.samples, arguments.validation)
    base = Base(original(arguments, images), arguments.data, images)
    cases = {case.name: case for case in (study(arguments) if arguments.study else comparison(arguments))}
    if arguments.only:
        write(arguments.json, [made(cases[arguments.only], base)])
        return
    known = read(path for path in arguments.resume_json if path.exists())
    rows = {row["name"]: row for row in known if row["name"] not in cases or is_of(cases[row["name"]], base, row)}
    with ThreadPoolExecutor(arguments.jobs) as pool:
        waiting = [pool.submit(apart, name, arguments) for name in cases if name not in rows]
        for finished in as_completed(waiting):
            for row in finished.result():
                rows[row["name"]] = row
                figures = f"{row['validation']:.4f}, {row['seconds']:.0f} s"
                Console(width=160).print(f"{row['name']}: {figures}", markup=False)
            write(arguments.json, rows.values())
    show([rows[name] for name in cases if name in rows])
    if missing := [name for name in cases if name not in rows]:
        raise SystemExit(f"not measured: {'; '.join(missing)}")


def parsed() -> argparse.Namespace:
    """Return the arguments of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the images and models")
    parser.add_argument("--cache", type=Path, default=Path("var/cifar10"), help="folder for the decoded images")
    parser.add_argument("--architecture", choices=list(ARCHITECTURES), default="resnet20")
    parser.add_argument("--methods", nargs="*", choices=list(CONTENDERS), default=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--settings", nargs="*", choices=list(SETTINGS), default=list(SETTINGS), metavar="NAME")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--epochs", type=int, help="of fine-tuning, in all; 15, or fewer in a study")
    parser.add_argument("--training", choices=list(TRAININGS), default="tuned", help="of what the library prunes")
    parser.add_argument("--samples", type=int, help="training images; all if not given")
    parser.add_argument("--validation", type=int, help="validation images, and test images; all if not given")
    parser.add_argument("--study", choices=list(STUDIES), help="compare options of the library instead of methods")
    parser.add_argument("--jobs", type=int, default=1, help="processes beside each other")
    parser.add_argument("--only", metavar="CASE", help="make this case in this process, and print no table")
    parser.add_argument("--json", type=Path, default=Path("var/cifar10.json"))
    parser.add_argument("--resume-json", type=Path, nargs="*", default=[], help="files whose rows are kept")
    arguments = parser.parse_args()
    arguments.epochs = arguments.epochs or EPOCHS[arguments.study]
    return arguments


def comparison(arguments: argparse.Namespace) -> list[Case]:
    """Return the cases that compare methods."""
    return [
        Case(
            method,
            setting,
            SETTINGS[setting],
            arguments.epochs,
            seed,
            label,
            pruning,
            {**TRAININGS[arguments.training], **training},
        )
        for setting in arguments.settings
        for seed in arguments.seeds
        for method, label, pruning, training in map(CONTENDERS.__getitem__, arguments.methods)
    ]


def study(arguments: argparse.Namespace) -> list[Case]:
    """Return the cases of a study of the library's options, none of which sees the test images."""
    return [
        Case(
            "ours",
            setting,
            SETTINGS[setting],
            epochs,
            seed,
            label,
            {**OURS, **pruning},
            {**TRAININGS[arguments.training], **training},
            is_final=False,
        )
        for setting in arguments.settings
        for label, epochs, pruning, training in STUDIES[arguments.study](arguments.epochs)
        for seed in arguments.seeds
    ]


Options = list[tuple[str, int, Row, Row]]

STUDIES: dict[str, Callable[[int], Options]] = {
    "budget": lambda epochs: [("budget", each, {"criterion": "l2_norm"}, {}) for each in BUDGETS],
    "criteria": lambda epochs: [(name, epochs, options, {}) for name, options in CRITERIA.items()],
    "iterations": lambda epochs: [(f"{each} iterations", epochs, {"num_iterations": each}, {}) for each in ITERATIONS],
    "recovery": lambda epochs: [(name, epochs, *options) for name, options in RECOVERY.items()],
}
"""Name → label, epochs and options of each case, for a number of epochs."""


def original(arguments: argparse.Namespace, images: Images) -> keras.Model:
    """Return the trained original, adapted to the images if need be; that is kept for the next time."""
    name, epochs = ARCHITECTURES[arguments.architecture]
    if not epochs:
        return load_model(arguments.data / name)
    adapted = arguments.cache / f"{Path(name).stem}-{epochs}-epochs-{len(images.x_train)}-images.keras"
    if not adapted.exists():
        model = load_model(arguments.data / name)
        l1_cosine(model, images.x_train, images.y_train, images.x_val, images.y_val, epochs, seed=0, recipe=RECIPE)
        model.save(adapted)
    loaded: keras.Model = keras.saving.load_model(adapted, compile=False)
    return loaded


def told(case: Case, base: Base) -> Row:
    """Return all that a row depends on, as JSON has it."""
    everything = {**asdict(case), "network": base.model.name, "samples": len(base.images.x_train)}
    decoded: Row = json.loads(json.dumps(everything))
    return decoded


def is_of(case: Case, base: Base, row: Row) -> bool:
    """Return whether a row was made of this case and base."""
    return all(row.get(name) == value for name, value in told(case, base).items())


def apart(name: str, arguments: argparse.Namespace) -> list[Row]:
    """Make one case in a process of its own, and return its row, or none: one case must not cost the others."""
    with TemporaryDirectory() as folder:
        part = Path(folder) / "row.json"
        command = [sys.executable, "-m", "benchmarks.cifar10", *sys.argv[1:], "--only", name, "--json", str(part)]
        subprocess.run(command, env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}, check=False)
        return read([part]) if part.exists() else []


def made(case: Case, base: Base) -> Row:
    """Make one model and return its figures."""
    keras.utils.set_random_seed(case.seed)
    started = time.monotonic()
    result = METHODS[case.method](case, base)
    seconds = time.monotonic() - started
    images = base.images
    (params, macs), (params_before, macs_before) = size(result.model), size(base.model)
    return {
        "name": case.name,
        **told(case, base),
        "backend": keras.backend.backend(),
        "spent_epochs": result.epochs,
        "params": params,
        "params_left": params / params_before,
        "macs_left": macs / macs_before,
        "original": accuracy(base.model, images.x_val, images.y_val),
        "original_test": accuracy(base.model, images.x_test, images.y_test) if case.is_final else None,
        "before_training": result.before_training,
        "validation": accuracy(result.model, images.x_val, images.y_val),
        "test": accuracy(result.model, images.x_test, images.y_test) if case.is_final else None,
        "seconds": seconds,
    }


def size(model: keras.Model) -> tuple[int, int]:
    """Return parameters and multiply-accumulates of a model."""
    plan = make_plan(model, PruningSpec(ratio=0.01))
    return plan.params_before, plan.macs_before or 0


def read(paths: Iterable[Path]) -> list[Row]:
    """Return the rows of some files."""
    return [row for path in paths for row in json.loads(path.read_text())["rows"]]


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows as JSON, in one piece."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps({"machine": machine(), "rows": list(rows)}, indent=1))
    unfinished.replace(path)


def show(rows: list[Row]) -> None:
    """Print the table."""
    columns = ("params_left", "macs_left", "before_training", "validation", "test")
    table = Table("case", *(name.replace("_", " ") for name in columns), "epochs", "s")
    for row in rows:
        table.title = f"accuracy of the original on the validation images: {row['original']:.4f}"
        figures = ["" if row[name] is None else f"{row[name]:.4f}" for name in columns]
        table.add_row(row["name"], *figures, str(row["spent_epochs"]), f"{row['seconds']:.0f}")
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
