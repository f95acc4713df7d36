"""What options of recovery do for the accuracy of a pruned network, each by itself, over several seeds.

    python -m benchmarks.ablation MODEL.keras IMAGES.zip [--samples N] [--before EPOCHS] [--epochs EPOCHS] [--seeds N]
    python -m benchmarks.ablation --small

The first takes a classifier and a zip of images by class, the second a network trained on the built-in digits. All
options train for the same epochs before the one prune and after it, on the same samples, with the same rate. Prints
JSON. Keras runs on the backend of KERAS_BACKEND; nothing else here needs TensorFlow.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from benchmarks.networks import BATCH_SIZE, Network, digits, from_files
from pruning import PruningSpec, prune
from pruning.spec import TrainingSpec

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no reconstruction": {"reconstruction": False},
    "constant rate": {"learning_rate_schedule": "constant"},
    "distillation": {"distillation": {"weight": 0.5, "temperature": 4.0}},
    "sparsity": {"sparsity": {"kind": "group_norm", "strength": 1e-3}},
    "ema": {"ema": 0.99},
    "mixup": {"augmentation": {"mixup": 0.2}},
    "label_smoothing": {"label_smoothing": 0.1},
    "distillation of features": {"distillation": {"weight": 0.5, "temperature": 4.0, "features": 0.5}},
    "distillation and ema": {"distillation": {"weight": 0.5, "temperature": 4.0}, "ema": 0.99},
}
"""Name → what is set, in `TrainingSpec` or `PruningSpec`, beside what all have in common."""


def main() -> None:
    """Measure, and print and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("--small", action="store_true", help="a network trained on the digits")
    parser.add_argument("--samples", type=int, default=5000, help="training images")
    parser.add_argument("--validation", type=int, default=2000, help="validation images")
    parser.add_argument("--before", type=int, default=1, help="epochs before the prune")
    parser.add_argument("--epochs", type=int, default=5, help="epochs after the prune")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--target-params", type=float, default=0.49, help="share of the parameters that is left")
    parser.add_argument("--learning-rate", type=float, default=0.02)
    parser.add_argument("--only", nargs="*", choices=list(OPTIONS), default=list(OPTIONS))
    parser.add_argument("--json", type=Path, default=Path("var/ablation.json"))
    arguments = parser.parse_args()
    if not arguments.small and not (arguments.model and arguments.images):
        parser.error("give a model and a zip of images, or --small")
    network = (
        digits(0)
        if arguments.small
        else from_files(arguments.model, arguments.images, arguments.samples, arguments.validation)
    )
    measured = {
        "backend": keras.backend.backend(),
        "devices": keras.distribution.list_devices(),
        "num_train_samples": len(network.x_train),
        "num_validation_samples": len(network.x_val),
        "original": network.accuracy(network.model),
        "settings": {name: getattr(arguments, name) for name in ("before", "epochs", "target_params", "learning_rate")},
        "options": {name: row(network, OPTIONS[name], arguments) for name in arguments.only},
    }
    Console().print_json(data=measured)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(measured, indent=2) + "\n")


def row(network: Network, options: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return accuracy with some options over the seeds, with mean and deviation, and what a seed took."""
    started = time.monotonic()
    found = [accuracy(network, options, arguments, seed) for seed in range(arguments.seeds)]
    return {
        "mean": round(float(np.mean(found)), 4),
        "std": round(float(np.std(found, ddof=1)), 4) if len(found) > 1 else None,
        "accuracies": found,
        "seconds": round((time.monotonic() - started) / len(found), 1),
    }


def accuracy(network: Network, options: dict[str, Any], arguments: argparse.Namespace, seed: int) -> float:
    """Return the share of the validation samples that the pruned network gets right."""
    motion = {} if arguments.small else {"horizontal_flip": True, "crop": 4}
    pruning = {name: value for name, value in options.items() if name in PruningSpec.model_fields}
    training = TrainingSpec.model_validate(
        {
            "epochs": arguments.before,
            "fine_tuning_epochs": arguments.epochs,
            "batch_size": BATCH_SIZE,
            "optimizer": {"name": "sgd", "options": {"momentum": 0.9, "nesterov": True}},
            "learning_rate": arguments.learning_rate,
            "seed": seed,
        }
        | {name: value for name, value in options.items() if name not in pruning}
        | {"augmentation": motion | options.get("augmentation", {})}
    )
    spec = PruningSpec(target_params=arguments.target_params, num_iterations=1, **pruning)
    data = (network.x_train, network.y_train), (network.x_val, network.y_val)
    return network.accuracy(prune(network.model, spec, data, training=training).model)


if __name__ == "__main__":
    main()
