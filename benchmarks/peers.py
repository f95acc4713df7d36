"""Planning and surgery beside Torch-Pruning, on the same architectures in one run.

    python -m benchmarks.peers --peer-python PYTHON [NAME…] [--repeats N] [--json FILE]

PYTHON is the interpreter of an environment of its own with torch, torchvision and torch-pruning. Each measurement
takes a process of its own, with one thread for both sides; ours and theirs take turns, architecture by
architecture, and of all repeats the least seconds count. Both prune by half by the L1 norm, at 224 x 224 pixels,
after a small network that sets up what each side sets up once. A plan at random is timed as well: it takes the
channel graph and the choice of channels, without reading a single weight.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.apart import ONE_THREAD, machine, measured_apart, tell, timed

PEER_OF = {
    "ResNet50": "resnet50",
    "ResNet152": "resnet152",
    "MobileNetV2": "mobilenet_v2",
    "DenseNet121": "densenet121",
    "DenseNet201": "densenet201",
    "VGG16": "vgg16",
    "EfficientNetB0": "efficientnet_b0",
    "EfficientNetB7": "efficientnet_b7",
}
PEER = Path(__file__).with_name("torch_pruning_peer.py")
FASTER_PLANNING = 20.0


def ours(name: str) -> dict[str, Any]:
    """Time Keras and this library on one architecture."""
    from pruning import PruningSpec, apply_plan, make_plan
    from pruning.graph.trace import trace
    from tests.zoo import build

    spec = PruningSpec(criterion="l1_norm", ratio=0.5)
    small = build("MobileNet", 32)  # What comes first in a process also sets up TensorFlow.
    apply_plan(small, make_plan(small, spec))
    model, build_seconds = timed(lambda: build(name, 224))
    plan, plan_seconds = timed(lambda: make_plan(model, spec))
    pruned, surgery_seconds = timed(lambda: apply_plan(model, plan))
    config = pruned.get_config()
    _, rebuild_seconds = timed(lambda: type(pruned).from_config(config))
    return {
        "params": plan.params_before,
        "params left": plan.params_after,
        "build s": build_seconds,
        "build pruned s": rebuild_seconds,
        "plan s": plan_seconds,
        "plan at random s": timed(lambda: make_plan(model, PruningSpec(criterion="random", ratio=0.5)))[1],
        "trace s": timed(lambda: trace(model))[1],
        "surgery s": surgery_seconds,
    }


def least(measurements: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the least of each figure."""
    return {key: min(measured[key] for measured in measurements) for key in measurements[0]}


def compare(name: str, peer_python: str, repeats: int) -> dict[str, Any]:
    """Measure one architecture on both sides, in turns."""
    own, theirs = [], []
    for _ in range(repeats):
        own.append(measured_apart("-m", "benchmarks.peers", "--only", name, environment=ONE_THREAD))
        theirs.append(measured_apart(peer_python, str(PEER), PEER_OF[name], environment=ONE_THREAD))
    row = {"name": name, **least(own), **least(theirs)}
    peer_seconds = row["peer graph s"] + row["peer step s"]
    whole_seconds = row["plan s"] + row["surgery s"]
    row["peer / plan"] = peer_seconds / row["plan s"]
    row["peer / plan at random"] = peer_seconds / row["plan at random s"]
    row["peer / (plan + surgery)"] = peer_seconds / whole_seconds
    row["(plan + surgery) / builds"] = whole_seconds / (row["build s"] + row["build pruned s"])
    return row


SECONDS = (
    "build s",
    "build pruned s",
    "trace s",
    "plan at random s",
    "plan s",
    "surgery s",
    "peer graph s",
    "peer step s",
)
RATIOS = ("peer / plan", "peer / plan at random", "peer / (plan + surgery)", "(plan + surgery) / builds")


def geometric_mean(values: list[float]) -> float:
    """Return the geometric mean of positive numbers."""
    return math.exp(sum(math.log(value) for value in values) / len(values))


def missed(rows: list[dict[str, Any]], means: dict[str, float]) -> list[str]:
    """Say which of the aims a run missed."""
    aims = {
        f"planning at least {FASTER_PLANNING:g} x as fast as the peer in the geometric mean": (
            means["peer / plan"] >= FASTER_PLANNING
        ),
        "planning never slower than the peer": all(row["peer / plan"] > 1 for row in rows),
        "planning and surgery ahead of the peer in the geometric mean": means["peer / (plan + surgery)"] > 1,
        "planning and surgery never above Keras's building of both models": all(
            row["(plan + surgery) / builds"] <= 1 for row in rows
        ),
    }
    return [aim for aim, reached in aims.items() if not reached]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--peer-python", help="interpreter with torch, torchvision and torch-pruning")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("var/peers.json"))
    parser.add_argument("--only", metavar="NAME", help="our side of one architecture in this process, as JSON")
    arguments = parser.parse_args()
    if arguments.only:
        tell(ours(arguments.only))
        return
    if arguments.peer_python is None:
        parser.error("--peer-python is needed: the peer has an environment of its own")
    console = Console(width=170)
    rows = []
    table = Table("model", *SECONDS, *RATIOS)
    for name in arguments.names or PEER_OF:
        row = compare(name, arguments.peer_python, arguments.repeats)
        rows.append(row)
        table.add_row(name, *(f"{row[key]:.3f}" for key in SECONDS), *(f"{row[key]:.2f}" for key in RATIOS))
        console.print(name, ", ".join(f"{key} {row[key]:.2f}" for key in RATIOS))
    means = {key: geometric_mean([row[key] for row in rows]) for key in RATIOS}
    table.add_row("geometric mean", *[""] * len(SECONDS), *(f"{means[key]:.2f}" for key in RATIOS))
    console.print(table)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({"where": machine(), "rows": rows, "geometric means": means}, indent=2))
    if misses := missed(rows, means):
        raise SystemExit("missed: " + "; ".join(misses))


if __name__ == "__main__":
    main()
