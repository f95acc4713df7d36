"""The oracle beside brute force on ResNet-20: the same losses, and how much sooner.

    python -m benchmarks.oracle MODEL.keras IMAGES.zip [--samples N] [--passes N] [--json FILE]

Brute force is one whole pass over the validation images for each channel, on the model with that channel masked in the
weights that read it; compiled once, at the batch size that Ridurre validates with. It is timed on a sample of the
channels of each group (`--passes`; 0 times them all) and multiplied. The naive way, pruning each channel by itself and
evaluating what is left, is timed on one channel of some groups. Both happen in turn, in one process; seconds of
processor time are given as well, because a busy machine stretches the others.
"""

from __future__ import annotations

import argparse
import io
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from pruning.calibration import Calibration
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.proof import Mask
from pruning.scoring import Scoring
from pruning.surgery import prune_channels

BATCH_SIZE = 128


@dataclass
class Timed:
    """A result with the seconds it took: by the clock, and of processor time."""

    value: Any
    seconds: float
    cpu_seconds: float


def timed(work: Callable[[], Any]) -> Timed:
    """Do some work and take its time."""
    started, cpu_started = time.monotonic(), time.process_time()
    value = work()
    return Timed(value, time.monotonic() - started, time.process_time() - cpu_started)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--passes", type=int, default=2, help="channels of each group timed by brute force; 0: all")
    parser.add_argument("--json", type=Path, default=Path("var/oracle.json"))
    arguments = parser.parse_args()
    model = keras.models.load_model(arguments.model, compile=False)
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    x, y = validation_images(arguments.images, arguments.samples)
    graph = ChannelGraph(model)
    scoring = Scoring(graph, "oracle", 0, Calibration.of(model, (x, y), num_samples=len(x), seed=0))
    whole = masked_loss(model, x, y, Mask())  # Compiles.
    rows = []
    for group in graph.groups:
        channels = (
            range(group.num_channels) if arguments.passes == 0 else range(min(arguments.passes, group.num_channels))
        )
        passes = [timed(lambda c=c, g=group: brute_force(graph, g, c, x, y) - whole) for c in channels]
        fast = timed(lambda g=group: scoring.importance(g))
        slow = np.array([each.value for each in passes])
        rows.append(
            {
                "group": group.name,
                "channels": group.num_channels,
                "passes": len(passes),
                "brute_force_seconds": group.num_channels * float(np.mean([each.seconds for each in passes])),
                "brute_force_cpu_seconds": group.num_channels * float(np.mean([each.cpu_seconds for each in passes])),
                "oracle_seconds": fast.seconds,
                "oracle_cpu_seconds": fast.cpu_seconds,
                "largest_difference": float(np.abs(slow - fast.value[: len(slow)]).max()),
                "rank_correlation": float(spearmanr(slow, fast.value[: len(slow)]).statistic),
            }
        )
        Console().print(rows[-1])
    naive = [timed(lambda g=group: prune_and_evaluate(graph, g, x, y)).seconds for group in graph.groups[::4]]
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({"samples": len(x), "rows": rows, "naive_seconds": naive}, indent=2))
    show(rows, naive, len(x))


def validation_images(path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels, spread evenly over the validation folder."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if n.startswith("validation/") and not n.endswith("/"))
        names = names[:: max(1, len(names) // count)][:count]
        classes = sorted({name.split("/")[1] for name in names})
        images = [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in names]
    return np.stack(images), np.array([classes.index(name.split("/")[1]) for name in names])


def brute_force(graph: ChannelGraph, group: ChannelGroup, channel: int, x: np.ndarray, y: np.ndarray) -> float:
    """Return the loss with one channel masked."""
    keep = np.delete(np.arange(group.num_channels), channel)
    return masked_loss(graph.model, x, y, Mask.of(graph, graph.stays({group.name: keep})))


def masked_loss(model: keras.Model, x: np.ndarray, y: np.ndarray, mask: Mask) -> float:
    """Return the mean loss of the model with some weights in the place of others, for one pass."""
    before = [(variable, np.array(keras.ops.convert_to_numpy(variable))) for variable, _ in mask.weights.values()]
    for variable, value in mask.weights.values():
        variable.assign(value)
    probabilities = model.predict(x, batch_size=BATCH_SIZE, verbose=0)[np.arange(len(y)), y]
    for variable, value in before:
        variable.assign(value)
    return float(-np.mean(np.log(np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7))))


def prune_and_evaluate(graph: ChannelGraph, group: ChannelGroup, x: np.ndarray, y: np.ndarray) -> Any:
    """Build the model without one channel, compile it and evaluate it."""
    small = prune_channels(graph, graph.stays({group.name: np.arange(1, group.num_channels)})).model
    small.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    return small.evaluate(x, y, batch_size=BATCH_SIZE, verbose=0)


def show(rows: list[dict[str, Any]], naive: list[float], num_samples: int) -> None:
    """Print the table and the sums."""
    table = Table("group", "channels", "brute force s", "oracle s", "of processor", "times", "largest difference")
    sums = {key: sum(row[key] for row in rows) for key in rows[0] if key.endswith("seconds") or key == "channels"}
    sums |= {"group": "all", "largest_difference": max(row["largest_difference"] for row in rows)}
    for row in [*rows, sums]:
        seconds = [row["brute_force_seconds"], row["oracle_seconds"]]
        cpu = [row["brute_force_cpu_seconds"], row["oracle_cpu_seconds"]]
        table.add_row(
            row["group"], str(row["channels"]), f"{seconds[0]:.0f}", f"{seconds[1]:.1f}", f"{cpu[0]:.0f}, {cpu[1]:.1f}",
            f"{seconds[0] / seconds[1]:.1f}, {cpu[0] / cpu[1]:.1f}", f"{row['largest_difference']:.1e}",
        )  # fmt: skip
    console = Console(width=120)
    console.print(table)
    passes, channels = sum(row["passes"] for row in rows), sums["channels"]
    console.print(f"{num_samples} images; brute force timed on {passes} of {channels} channels")
    console.print(
        f"pruning and evaluating each channel by itself: {np.mean(naive) * channels:.0f} s, from {len(naive)}"
    )


if __name__ == "__main__":
    main()
