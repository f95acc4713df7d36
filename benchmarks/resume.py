"""Whether a run that is killed ends as one that is not, bit for bit.

    python -m benchmarks.resume                              all cases, on TensorFlow
    python -m benchmarks.resume --backend jax --cases search --kills 6

Each case is a small run with everything in it that has a state. Its processes are killed at random moments, then in
another run right after each checkpoint, and in a third in the middle of each. Compared are all variables of the model
that is delivered, of its optimizer and of every candidate, the history, the plan and the report but for times.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle, repeat
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.apart import machine
from tests.pruning.run.kills import Death, Runs, differences

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "iterations": ({"criterion": "kmeans", "ratio": 0.25, "num_iterations": 2}, {}),
    "averages and a teacher": (
        {"criterion": "taylor", "ratio": 0.25, "num_iterations": 2},
        {"optimizer": "adam", "ema": 0.9, "distillation": {"features": 0.1}},
    ),
    "mixed precision": ({"ratio": 0.25, "freeze": ["first"]}, {"mixed_precision": True}),
    "early stop": (
        {"criterion": "taylor", "target_macs": 0.5},
        {"fine_tuning_epochs": "auto", "max_train_samples": 64, "learning_rate": 0.03},
    ),
    "sweep": ({"sweep": {"criteria": ["l1_norm", "random"], "sizes": [0.6, 0.4]}}, {"epochs": 1}),
    "search": ({"max_metric_drop": 0.2, "search": {"max_trials": 3}, "baselines": {"num_seeds": 1}}, {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--kills", type=int, default=20, help="at random moments, of each case")
    parser.add_argument("--no-boundaries", action="store_true", help="leave out the kills at and in checkpoints")
    parser.add_argument("--backend", choices=["tensorflow", "jax", "torch"], default="tensorflow")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("resume.json"))
    arguments = parser.parse_args()
    rows = []
    for case in arguments.cases:
        rows.append({"case": case, "backend": arguments.backend, **measured(case, arguments)})
        arguments.out.write_text(json.dumps({"machine": machine(), "cases": rows}, indent=2))
        _print(rows[-1])


def measured(case: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Kill the processes of a case, and return how often and what differed in the end."""
    spec, training = CASES[case]
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(spec, training, Path(folder), {"KERAS_BACKEND": arguments.backend})
        whole = runs.whole("whole")
        number = runs.num_checkpoints("whole")
        found: dict[str, Any] = {"num_checkpoints": number, "never": differences(whole, runs.whole("twice"))}
        moments = np.random.default_rng(arguments.seed)
        at_random: list[str] = []
        while runs.num_kills < arguments.kills:
            name = f"random {runs.num_processes}"
            ended = runs.killed(name, _moments(moments, whole["seconds"], arguments.kills - runs.num_kills))
            at_random += differences(whole, ended)
        found |= {"random": at_random, "num_random_kills": runs.num_kills}
        if not arguments.no_boundaries:
            # A process that dies in the middle of its second checkpoint has written one.
            files = cycle(["arrays.npz", "state.json"])
            found["after"] = differences(whole, runs.killed("after", repeat(Death(1), number)))
            found["within"] = differences(whole, runs.killed("within", (Death(2, next(files)) for _ in range(number))))
        return found | {"num_kills": runs.num_kills, "num_processes": runs.num_processes}


def _moments(generator: np.random.Generator, seconds: float, count: int) -> Iterator[float]:
    return (float(generator.uniform(0, seconds)) for _ in range(count))


def _print(row: dict[str, Any]) -> None:
    kinds = [name for name in ("never", "random", "after", "within") if name in row]
    told = "; ".join(f"{name}: {', '.join(row[name][:3]) or 'the same'}" for name in kinds)
    sys.stdout.write(
        f"{row['case']:<24}{row['backend']:<12}{row['num_checkpoints']:>3} checkpoints{row['num_kills']:>4} kills"
        f"{row['num_processes']:>4} processes  {told}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
