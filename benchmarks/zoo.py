"""Prune architectures of `keras.applications` by half: is it right, and what does it cost?

    python -m benchmarks.zoo [NAME…] [--json FILE]

Each row is measured in one process, one after the other: seconds to build the model in Keras, to plan and
to cut; the ratio sets planning plus surgery against building the model twice.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from rich.console import Console
from rich.table import Table

from pruning import PruningSpec, apply_plan, make_plan, verify
from tests.zoo import CLASSICS, build, randomise_statistics

COLUMNS = (
    "model", "criterion", "params", "params left", "build s", "plan s", "surgery s", "(plan + surgery) / 2 builds",
    "difference", "after reload",
)  # fmt: skip


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """Return a result and the seconds that it took."""
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start


def rows(name: str) -> list[dict[str, Any]]:
    """Measure one architecture with both criteria."""
    build(name)  # The first build in a process also pays for what TensorFlow sets up once.
    model, build_seconds = timed(lambda: build(name))
    randomise_statistics(model)
    measured = []
    for criterion in ("l1_norm", "random"):
        spec = PruningSpec(criterion=criterion, ratio=0.5)
        plan, plan_seconds = timed(lambda spec=spec: make_plan(model, spec))
        small, surgery_seconds = timed(lambda plan=plan: apply_plan(model, plan))
        proof = verify(model, small, plan)
        with tempfile.TemporaryDirectory() as directory:
            small.save(Path(directory, "small.keras"))
            again = verify(model, keras.saving.load_model(Path(directory, "small.keras")), plan)
        measured.append(
            {
                "model": name,
                "criterion": criterion,
                "params": plan.params_before,
                "params left": plan.params_after,
                "build s": round(build_seconds, 2),
                "plan s": round(plan_seconds, 2),
                "surgery s": round(surgery_seconds, 2),
                "(plan + surgery) / 2 builds": round((plan_seconds + surgery_seconds) / (2 * build_seconds), 2),
                "difference": f"{proof.max_relative_difference:.1e}",
                "after reload": f"{again.max_relative_difference:.1e}",
                "passed": proof.passed and again.passed,
            }
        )
    return measured


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=CLASSICS)
    parser.add_argument("--json", type=Path, default=Path("var/zoo.json"))
    arguments = parser.parse_args()
    table = Table(*COLUMNS)
    measured = []
    for name in arguments.names:
        for row in rows(name):
            measured.append(row)
            table.add_row(*(str(row[column]) for column in COLUMNS))
        keras.backend.clear_session()
    Console(width=160).print(table)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(measured, indent=2))
    if not all(row["passed"] for row in measured):
        raise SystemExit("a pruned model was not proven right")


if __name__ == "__main__":
    main()
