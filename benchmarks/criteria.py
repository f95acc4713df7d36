"""Every criterion on trained networks, pruned once to shares of their MACs: what is left, and what comes back.

    python -m benchmarks.criteria digits [MODEL --images IMAGES.zip] [--criteria NAME…] [--json FILE]

Accuracy is measured as cut, with the BatchNormalization statistics measured anew and no weight changed, with the
layers solved anew by least squares where the library has that, and, from the new statistics on, after a few steps
of fine-tuning. Criteria that rank do so within each group and over all groups. The digits' network is trained from
three seeds, which criteria and samples get as well; with a model file, `random` is drawn three times.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.networks import Network, digits, from_files
from pruning import PruningSpec, make_plan
from pruning.catalog import CRITERIA
from pruning.criteria import Channels, ScoreCriterion
from pruning.graph.groups import ChannelGraph
from pruning.keras_model.graph import require_graph
from pruning.scoring.calibration import Calibration
from pruning.scoring.importance import Scoring
from pruning.surgery.cutting import kept_channels, prune_channels

NUM_TRAIN, NUM_VAL, NUM_REFRESH = 4096, 1000, 1024
NUM_CALIBRATION = {"oracle": 256}
"""Samples of criteria that do not get `NUM_REFRESH` of them."""

STAGES = ("as_cut", "statistics", "reconstructed", "fine_tuned")


class Known(ScoreCriterion):
    """What a criterion said of each group, kept, so that several plans ask it once."""

    def __init__(self, graph: ChannelGraph, name: str, seed: int, calibration: Calibration | None) -> None:
        scoring = Scoring(graph, name, seed, calibration)
        self._scores = {group.name: scoring.importance(group) for group in graph.groups}

    def score(self, channels: Channels) -> np.ndarray:
        return self._scores[channels.name]


def main() -> None:
    """Measure one network, print its tables and add them to the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", help="digits, or a model file")
    parser.add_argument("--images", type=Path, help="zip of images in class folders, for a model file")
    parser.add_argument("--criteria", nargs="*", default=list(CRITERIA), choices=list(CRITERIA), metavar="NAME")
    parser.add_argument("--macs", nargs="*", type=float, default=[0.7, 0.5], help="shares that are left")
    parser.add_argument("--normalisation", default="mean", help="of importances, for the ranking over all groups")
    parser.add_argument("--steps", type=int, default=16, help="of fine-tuning, 128 samples each; 0 leaves it out")
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--json", type=Path, default=Path("var/criteria.json"))
    arguments = parser.parse_args()
    found = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
    entry = found.setdefault(Path(arguments.network).stem, {"accuracy": {}, "rows": []})
    entry["rows"] = [row for row in entry["rows"] if row["criterion"] not in arguments.criteria]
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    from_file = arguments.network != "digits"
    for seed in range(1 if from_file else 3):
        network = (
            from_files(Path(arguments.network), arguments.images, NUM_TRAIN, NUM_VAL) if from_file else digits(seed)
        )
        entry["accuracy"][str(seed)] = network.accuracy(network.model)
        for name in arguments.criteria:
            for draw in range(3) if from_file and name == "random" else [seed]:
                for row in measured(network, name, draw, arguments):
                    entry["rows"].append(row)
                    arguments.json.write_text(json.dumps(found, indent=1))
    show(Path(arguments.network).stem, entry)


def measured(network: Network, name: str, seed: int, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the figures of one criterion, for each scope and share of the MACs."""
    graph = ChannelGraph(network.model)
    started = time.process_time()
    criterion: Any = name
    if CRITERIA[name].ranks:
        calibration = None
        if CRITERIA[name].needs_data:
            count = NUM_CALIBRATION.get(name, NUM_REFRESH)
            data = (network.x_train, network.y_train)
            calibration = Calibration.of(network.model, data, num_samples=count, seed=seed)
        criterion = Known(graph, name, seed, calibration)
    seconds = time.process_time() - started
    for scope in ("local", "global") if CRITERIA[name].ranks else ("local",):
        for share in arguments.macs:
            spec = PruningSpec(
                criterion=criterion, scope=scope, normalisation=arguments.normalisation, target_macs=share, seed=seed
            )
            plan = make_plan(network.model, spec)
            stays = graph.stays(kept_channels(graph, plan))
            yield {
                "criterion": name, "seed": seed, "scope": scope, "macs": share, "seconds": seconds,
                "params_left": plan.params_after / plan.params_before,
                **stages(network, graph, stays, arguments),
            }  # fmt: skip


def stages(network: Network, graph: ChannelGraph, stays: np.ndarray, arguments: argparse.Namespace) -> dict[str, float]:
    """Return the accuracy of the pruned network at each stage."""
    small = prune_channels(graph, stays)
    model = small.model
    figures = {"as_cut": network.accuracy(model)}
    if importlib.util.find_spec("pruning.recovery.reconstruction") is not None:
        reconstruct = importlib.import_module("pruning.recovery.reconstruction").reconstruct
        before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in model.variables]
        name = require_graph(network.model).inputs[0].name
        reconstruct(graph, small, stays, {name: network.x_train[:NUM_REFRESH]})
        figures["reconstructed"] = network.accuracy(model)
        for variable, value in zip(model.variables, before, strict=True):
            variable.assign(value)
    network.refresh(model, NUM_REFRESH)
    figures["statistics"] = network.accuracy(model)
    if arguments.steps:
        network.fine_tune(model, arguments.steps, arguments.learning_rate)
        network.refresh(model, NUM_REFRESH)
        figures["fine_tuned"] = network.accuracy(model)
    return figures


def show(name: str, found: dict[str, Any]) -> None:
    """Print a table for each scope and share of the MACs, in the order of the accuracy with new statistics."""
    console = Console(width=120)
    for scope, macs in sorted({(row["scope"], row["macs"]) for row in found["rows"]}, reverse=True):
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in found["rows"]:
            if (row["scope"], row["macs"]) == (scope, macs):
                rows.setdefault(row["criterion"], []).append(row)
        columns = [stage for stage in STAGES if all(stage in row for each in rows.values() for row in each)]
        table = Table("criterion", *columns, "params left", "CPU s")
        table.title = f"{name}, {scope}, {macs:.0%} of the MACs; {np.mean(list(found['accuracy'].values())):.3f} before"
        for criterion, each in sorted(rows.items(), key=lambda item: -_mean(item[1], "statistics")):
            figures = [spread(each, stage) for stage in columns]
            table.add_row(criterion, *figures, f"{_mean(each, 'params_left'):.2f}", f"{_mean(each, 'seconds'):.0f}")
        console.print(table)


def spread(rows: list[dict[str, Any]], stage: str) -> str:
    """Return a mean, with the standard deviation where there are several."""
    deviation = f" ± {np.std([row[stage] for row in rows], ddof=1):.3f}" if len(rows) > 1 else ""
    return f"{_mean(rows, stage):.3f}{deviation}"


def _mean(rows: list[dict[str, Any]], key: str) -> float:
    return float(np.mean([row[key] for row in rows]))


if __name__ == "__main__":
    main()
