"""Planning time against depth: ResNets for CIFAR-10 of 20 to 1,202 layers, and the straight line through them.

    python -m benchmarks.depth [--layers 20 56 …] [--repeats N] [--json FILE]

Each network is built in a process of its own and planned several times by `l1_norm` at ratio 0.5; the least
seconds count.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from rich.console import Console
from rich.table import Table

from benchmarks.apart import machine, measured_apart, tell, timed
from pruning import PruningSpec, make_plan
from pruning.graph.groups import ChannelGraph

LAYERS = (20, 56, 110, 218, 410, 602, 812, 1202)


def resnet(num_layers: int) -> keras.Model:
    """Build the residual network of 6 n + 2 layers.

    Source: He et al. 2016, Deep Residual Learning for Image Recognition, arXiv:1512.03385, section 4.2. Differs:
    projection shortcuts where the width changes.
    """
    inputs = keras.Input((32, 32, 3))
    hidden = _convolution(inputs, 16, 1)
    for filters in (16, 32, 64):
        for block in range((num_layers - 2) // 6):
            stride = 2 if filters > 16 and block == 0 else 1
            shortcut = layers.Conv2D(filters, 1, strides=stride)(hidden) if stride > 1 else hidden
            branch = layers.BatchNormalization()(
                layers.Conv2D(filters, 3, padding="same")(_convolution(hidden, filters, stride))
            )
            hidden = layers.ReLU()(layers.Add()([shortcut, branch]))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(hidden)))


def _convolution(hidden: Any, filters: int, stride: int) -> Any:
    hidden = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(hidden)
    return layers.ReLU()(layers.BatchNormalization()(hidden))


def seconds(num_layers: int, repeats: int) -> dict[str, Any]:
    """Time planning, and its part that is tracing and grouping, for one depth."""
    sys.setrecursionlimit(100_000)  # Keras itself walks a new model's graph by recursion.
    spec = PruningSpec(criterion="l1_norm", ratio=0.5)
    make_plan(resnet(8), spec)
    model = resnet(num_layers)
    return {
        "layers": num_layers,
        "params": model.count_params(),
        "graph s": min(timed(lambda: ChannelGraph(model))[1] for _ in range(repeats)),
        "plan s": min(timed(lambda: make_plan(model, spec))[1] for _ in range(repeats)),
    }


def fit(depths: np.ndarray, values: np.ndarray) -> dict[str, float]:
    """Fit a straight line by least squares, and a power of the depth in the same way on logarithms."""
    slope, intercept = np.polyfit(depths, values, 1)
    residues = values - (slope * depths + intercept)
    return {
        "slope, ms / layer": float(slope) * 1000,
        "intercept, ms": float(intercept) * 1000,
        "R2": float(1 - np.sum(residues**2) / np.sum((values - values.mean()) ** 2)),
        "exponent": float(np.polyfit(np.log(depths), np.log(values), 1)[0]),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="+", default=LAYERS, help="6 n + 2 each")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path("var/depth.json"))
    parser.add_argument("--only", type=int, help="measure this depth in this process, as JSON")
    arguments = parser.parse_args()
    if arguments.only:
        tell(seconds(arguments.only, arguments.repeats))
        return
    table = Table("layers", "params", "graph s", "plan s", "plan, ms / layer")
    rows = []
    for num_layers in arguments.layers:
        command = ("-m", "benchmarks.depth", "--only", str(num_layers), "--repeats", str(arguments.repeats))
        row = measured_apart(*command)
        rows.append(row)
        table.add_row(
            str(num_layers),
            f"{row['params'] / 1e6:.2f} M",
            f"{row['graph s']:.3f}",
            f"{row['plan s']:.3f}",
            f"{1000 * row['plan s'] / num_layers:.2f}",
        )
    console = Console(width=120)
    console.print(table)
    depths = np.array([row["layers"] for row in rows], dtype=float)
    fits = {key: fit(depths, np.array([row[key] for row in rows])) for key in ("graph s", "plan s")}
    for key, found in fits.items():
        console.print(key, ", ".join(f"{name} {value:.4f}" for name, value in found.items()))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({"where": machine(), "rows": rows, "fits": fits}, indent=2))


if __name__ == "__main__":
    main()
