"""Brute force, the oracle and its race on ResNet-20, side by side: the same channels, and how much sooner.

    python -m benchmarks.oracle MODEL.keras IMAGES.zip [--samples N] [--passes N] [--seeds N] [--json FILE]

Brute force is one whole pass over the images for each channel, on the model with that channel masked in the weights
that read it, compiled once: by `model.evaluate` with Keras's own batch size, as it would commonly be written, and
beside it at its best, by `model.predict` with the batch size that Ridurre validates with. Both are timed on a sample
of the channels of each group (`--passes`; 0 times them all) and multiplied. The naive way, pruning each channel by
itself and evaluating what is left, is timed on one channel of some groups.

The race is run at each ratio, from nothing, so that each run has its own pass for the gradients; the first group's
time has it. Its channels are compared with those that the oracle keeps, and so are the losses of the model with all
other channels masked. With `--seeds` other draws it is run again on the losses that the oracle recorded, which changes
nothing but the time. All happen in turn, in one process; seconds of processor time are given as well, because a busy
machine stretches the others.
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
from typing import Any, TypeVar

import keras
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from pruning.criteria.base import Channels, Trials
from pruning.criteria.oracle import Oracle
from pruning.criteria.oracle_racing import OracleRacing
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.proof.masking import Mask
from pruning.scoring.calibration import Calibration
from pruning.scoring.importance import Scoring
from pruning.scoring.observation import sample_gradients
from pruning.surgery.cutting import prune_channels

T = TypeVar("T")

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


RATIOS = (0.25, 0.5)
CRITERIA = ("brute_force", "best_pass", "oracle", "racing_0.25", "racing_0.5")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--folder", default="train", help="folder of the archive")
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--passes", type=int, default=2, help="channels of each group timed by brute force; 0: all")
    parser.add_argument("--seeds", type=int, default=50, help="races on recorded losses at each ratio")
    parser.add_argument("--json", type=Path, default=Path("var/oracle.json"))
    arguments = parser.parse_args()
    model = keras.models.load_model(arguments.model, compile=False)
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    x, y = images(arguments.images, arguments.folder, arguments.samples)
    graph = ChannelGraph(model)
    calibration = Calibration.of(model, (x, y), num_samples=len(x), seed=0)
    oracle = RecordedOracle()
    rows = compared_with_brute_force(graph, Scoring(graph, oracle, 0, calibration), x, y, arguments.passes)
    races = [race(graph, calibration, ratio, rows, x, y) for ratio in RATIOS]
    guesses = {name: -each for name, each in sample_gradients(graph, calibration).items()}
    losses = oracle.by_group(graph, len(x))
    draws = [draw(graph, losses, guesses, ratio, seed) for ratio in RATIOS for seed in range(arguments.seeds)]
    naive = [timed(partial(prune_and_evaluate, graph, group, x, y)).seconds for group in graph.groups[::6]]
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    measured = {"samples": len(x), "rows": rows, "races": races, "draws": draws, "naive_seconds": naive}
    arguments.json.write_text(json.dumps(measured, indent=2))
    show(rows, naive, len(x))
    show_races(races, draws)


class RecordedOracle(Oracle):
    """The oracle, which keeps what it measures."""

    def __init__(self) -> None:
        self._measured: list[np.ndarray] = []

    def measure(self, observed: np.ndarray) -> np.ndarray:
        self._measured.append(observed)
        return observed

    def by_group(self, graph: ChannelGraph, num_samples: int) -> dict[str, np.ndarray]:
        """Return how much each sample's loss grows without each channel, in groups measured one after the other."""
        batches, growths = iter(self._measured), {}
        for group in graph.groups:
            parts: list[np.ndarray] = []
            while sum(map(len, parts)) < num_samples:
                parts.append(next(batches))
            growths[group.name] = np.concatenate(parts)
        return growths


class RecordedTrials(Trials):
    """Trials whose results are known; they count the pairs of a sample and a channel."""

    def __init__(self, growths: np.ndarray) -> None:
        self._growths, self.num_samples, self.pairs = growths, len(growths), 0

    def losses(self, channels: np.ndarray, samples: np.ndarray) -> np.ndarray:
        self.pairs += len(channels) * len(samples)
        found: np.ndarray = self._growths[np.ix_(samples, channels)]
        return found


def draw(
    graph: ChannelGraph, losses: dict[str, np.ndarray], guesses: dict[str, np.ndarray], ratio: float, seed: int
) -> dict[str, Any]:
    """Race in all groups on recorded losses, and return how far the channels are the oracle's."""
    total = {"ratio": ratio, "seed": seed, "other_channels": 0, "other_sets": 0, "lost": 0.0, "pairs": 0}
    for group in graph.groups:
        trials = RecordedTrials(losses[group.name])
        channels = Channels(
            group.name, group.num_channels, seed, list, _try_out=known(trials), _guess=known(guesses[group.name])
        )
        kept = OracleRacing().select(channels, group.num_channels - int(ratio * group.num_channels))
        add_differences(total, kept, losses[group.name].mean(axis=0))
        total["pairs"] += trials.pairs
    return total | {"all_pairs": sum(each.size for each in losses.values())}


def known(value: T) -> Callable[[], T]:
    """Return a function that returns a value."""
    return lambda: value


def add_differences(total: dict[str, Any], kept: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """Add how far the channels of one group differ from the oracle's, and return these."""
    exact: np.ndarray = np.sort(np.argsort(-importance, kind="stable")[: len(kept)])
    others = len(np.setdiff1d(exact, kept))
    total["other_channels"] += others
    total["other_sets"] += others > 0
    total["lost"] += float(importance[exact].sum() - importance[kept].sum())
    return exact


def compared_with_brute_force(
    graph: ChannelGraph, scoring: Scoring, x: np.ndarray, y: np.ndarray, num_passes: int
) -> list[dict[str, Any]]:
    """Return for each group what brute force and the oracle take and find."""
    whole = masked_loss(graph.model, x, y)  # Compiles, as does the next line.
    graph.model.evaluate(x, y, verbose=0)
    rows = []
    for group in graph.groups:
        evaluated, passed = [], []
        for channel in range(min(num_passes or group.num_channels, group.num_channels)):
            with masked(graph, {group.name: np.delete(np.arange(group.num_channels), channel)}):
                evaluated.append(timed(lambda: graph.model.evaluate(x, y, verbose=0)))
                passed.append(timed(lambda: masked_loss(graph.model, x, y)))
        fast = timed(partial(scoring.importance, group))
        slow = np.array([each.value for each in passed]) - whole
        rows.append(
            {
                "group": group.name,
                "channels": group.num_channels,
                "passes": len(passed),
                **multiplied("brute_force", evaluated, group.num_channels),
                **multiplied("best_pass", passed, group.num_channels),
                **multiplied("oracle", [fast], 1),
                "brute_force_losses": slow.tolist(),
                "oracle_losses": fast.value.tolist(),
            }
        )
        Console().print(rows[-1])
    return rows


def race(
    graph: ChannelGraph,
    calibration: Calibration,
    ratio: float,
    rows: list[dict[str, Any]],
    x: np.ndarray,
    y: np.ndarray,
) -> dict[str, Any]:
    """Race in all groups, note the times in the rows, and return how far the channels are the oracle's."""
    scoring, kept, exact = Scoring(graph, "oracle_racing", 0, calibration), {}, {}
    total = {"ratio": ratio, "other_channels": 0, "other_sets": 0, "lost": 0.0}
    for group, row in zip(graph.groups, rows, strict=True):
        num_keep = group.num_channels - int(ratio * group.num_channels)
        run = timed(partial(scoring.keep, group, num_keep))
        row.update(multiplied(f"racing_{ratio}", [run], 1))
        kept[group.name] = run.value
        exact[group.name] = add_differences(total, run.value, np.array(row["oracle_losses"]))
    for name, stays in (("loss", kept), ("exact_loss", exact)):
        with masked(graph, stays):
            total[name] = masked_loss(graph.model, x, y)
    return total


def images(path: Path, folder: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels, spread evenly over a folder of the archive."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if n.startswith(f"{folder}/") and not n.endswith("/"))
        names = names[:: max(1, len(names) // count)][:count]
        classes = sorted({name.split("/")[1] for name in names})
        pixels = [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in names]
    return np.stack(pixels), np.array([classes.index(name.split("/")[1]) for name in names])


@contextlib.contextmanager
def masked(graph: ChannelGraph, kept: dict[str, np.ndarray]) -> Iterator[None]:
    """Mask all channels but these of some groups in the weights of the model, for a while."""
    weights = Mask.of(graph, graph.stays(kept)).weights.values()
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
    table = Table("processor seconds of", "channels", *(name.replace("_", " ") for name in CRITERIA))
    sums = {key: sum(row[key] for row in rows) for key in rows[0] if key.endswith("seconds") or key == "channels"}
    for row in [*rows, sums | {"group": "all"}]:
        seconds = [row[f"{name}_cpu_seconds"] for name in CRITERIA]
        cells = [f"{each:.1f} ({seconds[0] / each:.1f} x)" for each in seconds]
        table.add_row(row["group"], str(row["channels"]), *cells)
    console = Console(width=160)
    console.print(table)
    slow = np.concatenate([row["brute_force_losses"] for row in rows])
    fast = np.concatenate([row["oracle_losses"][: row["passes"]] for row in rows])
    passes, channels = sum(row["passes"] for row in rows), sums["channels"]
    console.print(
        f"{num_samples} images; brute force timed on {passes} of {channels} channels: losses differ by at most"
        f" {np.abs(slow - fast).max():.1e}, rank correlation {spearmanr(slow, fast).statistic:.6f}"
    )
    clock = ", ".join(f"{name.replace('_', ' ')} {sums[f'{name}_seconds']:.0f} s" for name in CRITERIA)
    console.print(
        f"by the clock: {clock}, pruning and evaluating each channel by itself"
        f" {np.mean(naive) * channels:.0f} s, from {len(naive)}"
    )


def show_races(races: list[dict[str, Any]], draws: list[dict[str, Any]]) -> None:
    """Print how far the races' channels are those of the oracle."""
    console = Console(width=160)
    for each in races:
        console.print(
            f"ratio {each['ratio']}: {each['other_channels']} channels are not the oracle's, in {each['other_sets']}"
            f" groups; loss of the masked network {each['loss']:.4f}, with the oracle's {each['exact_loss']:.4f}"
        )
        drawn = [one for one in draws if one["ratio"] == each["ratio"]]
        others, sets, lost, pairs, all_pairs = (
            sum(one[key] for one in drawn) for key in ("other_channels", "other_sets", "lost", "pairs", "all_pairs")
        )
        console.print(
            f"  in {len(drawn)} draws: {others} channels in {sets} groups are not the oracle's,"
            f" {lost / max(others, 1):.5f} of the loss for each;"
            f" {pairs / all_pairs:.1%} of the pairs of a sample and a channel are tried"
        )


if __name__ == "__main__":
    main()
