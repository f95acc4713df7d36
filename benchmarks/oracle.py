"""The oracle beside brute force on ResNet-20: the same losses, and how much sooner.

    python -m benchmarks.oracle MODEL.keras IMAGES.zip [--samples N] [--passes N] [--json FILE]

Brute force is one whole pass over the validation images for each channel, on the model with that channel masked in the
weights that read it, compiled once: by `model.evaluate` with Keras's own batch size, as it would commonly be written,
and beside it at its best, by `model.predict` with the batch size that Ridurre validates with. Both are timed on a
sample of the channels of each group (`--passes`; 0 times them all) and multiplied. The naive way, pruning each channel
by itself and evaluating what is left, is timed on one channel of some groups. All happen in turn, in one process;
seconds of processor time are given as well, because a busy machine stretches the others.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.proof.masking import Mask
from pruning.scoring.calibration import Calibration
from pruning.scoring.importance import Scoring
from pruning.surgery.cutting import prune_channels

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
    whole = masked_loss(model, x, y)  # Compiles, as does the next line.
    model.evaluate(x, y, verbose=0)
    rows = []
    for group in graph.groups:
        channels = (
            range(group.num_channels) if arguments.passes == 0 else range(min(arguments.passes, group.num_channels))
        )
        evaluated, passed = [], []
        for channel in channels:
            with masked(graph, group, channel):
                evaluated.append(timed(lambda: model.evaluate(x, y, verbose=0)))
                passed.append(timed(lambda: masked_loss(model, x, y)))
        fast = timed(partial(scoring.importance, group))
        slow = np.array([each.value for each in passed]) - whole
        rows.append(
            {
                "group": group.name,
                "channels": group.num_channels,
                "passes": len(passed),
                **multiplied("brute_force", evaluated, group.num_channels),
                **multiplied("best_pass", passed, group.num_channels),
                "oracle_seconds": fast.seconds,
                "oracle_cpu_seconds": fast.cpu_seconds,
                "brute_force_losses": slow.tolist(),
                "oracle_losses": fast.value[: len(slow)].tolist(),
            }
        )
        Console().print(rows[-1])
    naive = [timed(partial(prune_and_evaluate, graph, group, x, y)).seconds for group in graph.groups[::6]]
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


@contextlib.contextmanager
def masked(graph: ChannelGraph, group: ChannelGroup, channel: int) -> Iterator[None]:
    """Mask one channel in the weights of the model, for a while."""
    keep = np.delete(np.arange(group.num_channels), channel)
    weights = Mask.of(graph, graph.stays({group.name: keep})).weights.values()
    before = [(variable, np.array(keras.ops.convert_to_numpy(variable))) for variable, _ in weights]
    for variable, value in weights:
        variable.assign(value)
    yield
    for variable, value in before:
        variable.assign(value)


def masked_loss(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    """Return the mean loss of the model as it is, in one pass."""
    probabilities = model.predict(x, batch_size=BATCH_SIZE, verbose=0)[np.arange(len(y)), y]
    return float(-np.mean(np.log(np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7))))


def multiplied(name: str, passes: list[Timed], times: int) -> dict[str, float]:
    """Return the seconds that so many passes take, from those that were timed."""
    return {
        f"{name}_seconds": times * float(np.mean([each.seconds for each in passes])),
        f"{name}_cpu_seconds": times * float(np.mean([each.cpu_seconds for each in passes])),
    }


def prune_and_evaluate(graph: ChannelGraph, group: ChannelGroup, x: np.ndarray, y: np.ndarray) -> Any:
    """Build the model without one channel, compile it and evaluate it."""
    small = prune_channels(graph, graph.stays({group.name: np.arange(1, group.num_channels)})).model
    small.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    return small.evaluate(x, y, batch_size=BATCH_SIZE, verbose=0)


def show(rows: list[dict[str, Any]], naive: list[float], num_samples: int) -> None:
    """Print the table and the sums."""
    table = Table("processor seconds of", "channels", "brute force", "best pass", "oracle", "times", "times best")
    sums = {key: sum(row[key] for row in rows) for key in rows[0] if key.endswith("seconds") or key == "channels"}
    for row in [*rows, sums | {"group": "all"}]:
        brute, best, fast = (row[f"{name}_cpu_seconds"] for name in ("brute_force", "best_pass", "oracle"))
        table.add_row(
            row["group"], str(row["channels"]), f"{brute:.0f}", f"{best:.0f}", f"{fast:.1f}", f"{brute / fast:.1f}",
            f"{best / fast:.1f}",
        )  # fmt: skip
    console = Console(width=120)
    console.print(table)
    slow, fast = (np.concatenate([row[f"{name}_losses"] for row in rows]) for name in ("brute_force", "oracle"))
    passes, channels = sum(row["passes"] for row in rows), sums["channels"]
    console.print(
        f"{num_samples} images; brute force timed on {passes} of {channels} channels: losses differ by at most"
        f" {np.abs(slow - fast).max():.1e}, rank correlation {spearmanr(slow, fast).statistic:.6f}"
    )
    console.print(
        f"by the clock: brute force {sums['brute_force_seconds']:.0f} s, best pass {sums['best_pass_seconds']:.0f} s,"
        f" oracle {sums['oracle_seconds']:.0f} s, pruning and evaluating each channel by itself"
        f" {np.mean(naive) * channels:.0f} s, from {len(naive)}"
    )


if __name__ == "__main__":
    main()
