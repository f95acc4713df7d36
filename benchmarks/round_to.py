"""Does rounding widths pay? ResNet50 with half its multiply-accumulates, with widths rounded to 8 and as they come.

    python -m benchmarks.round_to [--threads N] [--calls N] [--json FILE]

The original and both pruned models are written as ONNX and LiteRT files and called in turns, one image of 224x224
at a time; each figure is a median. Which channels go (`l1_norm`) does not matter for speed: the weights are random.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from rich.console import Console
from rich.table import Table

from benchmarks.apart import machine
from pruning import PruningSpec, apply_plan, make_plan
from pruning.export.latency import inputs_for, median_seconds, open_copy

SPECS = {
    "unrounded": PruningSpec(criterion="l1_norm", target_macs=0.5),
    "round_to=8": PruningSpec(criterion="l1_norm", target_macs=0.5, round_to=8),
}
RUNTIMES = {"onnx": "ONNX Runtime", "litert": "LiteRT"}
REQUIRED_SPEED_UP = 1.6


def measure(num_threads: int, num_calls: int) -> list[dict[str, Any]]:
    """Return one row for each model."""
    original = keras.applications.ResNet50(weights=None)
    plans = {name: make_plan(original, spec) for name, spec in SPECS.items()}
    models = {"original": original} | {name: apply_plan(original, plan) for name, plan in plans.items()}
    first = next(iter(plans.values()))
    rows = [{"model": "original", "params": first.params_before, "MACs": first.macs_before}]
    rows += [{"model": name, "params": plan.params_after, "MACs": plan.macs_after} for name, plan in plans.items()]
    for runtime in RUNTIMES:
        with tempfile.TemporaryDirectory() as directory:
            calls = [_call(model, Path(directory, name), runtime, num_threads) for name, model in models.items()]
            seconds = median_seconds(calls, num_calls=num_calls)
        for row, own in zip(rows, seconds, strict=True):
            row[f"{runtime} ms"] = 1000 * own
            row[f"{runtime} speed-up"] = seconds[0] / own
    return rows


def _call(model: keras.Model, directory: Path, runtime: str, num_threads: int) -> Callable[[], Any]:
    directory.mkdir()
    run = open_copy(model, directory, runtime, num_threads=num_threads)
    inputs = inputs_for(run)
    return lambda: run(inputs)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--json", type=Path, default=Path("var/round_to.json"))
    arguments = parser.parse_args()
    rows = measure(arguments.threads, arguments.calls)
    table = Table(title=f"ResNet50, one image of 224x224, {arguments.threads} thread(s); {machine()}")
    for heading in ("model", "params", "MACs", *(f"{name}, ms" for name in RUNTIMES.values()), *(
        f"{name}, speed-up" for name in RUNTIMES.values()
    )):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for row in rows:
        share = row["MACs"] / rows[0]["MACs"]
        table.add_row(
            row["model"],
            f"{row['params']:,}",
            f"{row['MACs']:,} ({share:.1%})",
            *(f"{row[f'{runtime} ms']:.1f}" for runtime in RUNTIMES),
            *(f"{row[f'{runtime} speed-up']:.2f}" for runtime in RUNTIMES),
        )
    Console(width=140).print(table)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(rows, indent=2))
    best = max(rows[-1][f"{runtime} speed-up"] for runtime in RUNTIMES)
    if best < REQUIRED_SPEED_UP:
        raise SystemExit(f"{best:.2f} is less than the required speed-up of {REQUIRED_SPEED_UP}")


if __name__ == "__main__":
    main()
