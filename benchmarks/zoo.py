"""Prune the architectures of `keras.applications` by half: is it right, how much can go, and what does it cost?

    python -m benchmarks.zoo [NAME…] [--json FILE] [--page FILE]

Each architecture is measured in two processes of its own, with each of two ways to choose channels: one at its
default input size for counts, seconds and memory; one at the smallest size it takes, which has the same weights
but for the first dense layer of VGG16 and VGG19, for the proof before and after saving. A run over all of them
also writes the page of architectures.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.apart import machine, measured_apart, tell, timed
from benchmarks.architectures import page
from pruning import PruningSpec, apply_plan, make_plan, verify
from pruning.counting.reach import reach
from pruning.graph.groups import ChannelGraph
from tests.zoo import architectures, build, randomise, smallest_size

WAYS = {
    "l1_norm, global": PruningSpec(criterion="l1_norm", scope="global", ratio=0.5),
    "random, local": PruningSpec(criterion="random", ratio=0.5),
}

ENOUGH_IN_REACH = 0.95
MOST_MEMORY = 3.0


def costs(name: str) -> dict[str, Any]:
    """Count and time one architecture at its default size.

    Memory is what planning and surgery, the first way, add to the process at most, the pruned model included; and
    the peak above an empty process, in which what Keras keeps from building the original counts as well.
    """
    small = build("MobileNet", 32)  # The first build and the first prune in a process also set up TensorFlow.
    apply_plan(small, make_plan(small, WAYS["random, local"]))
    start_bytes = _resident_bytes("VmRSS")
    model, build_seconds = timed(lambda: build(name))
    weight_bytes = sum(int(np.prod(weight.shape)) * 4 for weight in model.weights)
    graph = ChannelGraph(model)
    within = reach(graph)
    channels = np.concatenate([graph.channel_of[axis.labels] for axis in graph.axes("out")])
    row: dict[str, Any] = {
        "name": name,
        "input": list(model.input_shape[1:]),
        "params": model.count_params(),
        "share of channels": sum(group.num_channels for group in graph.groups) / len(np.unique(channels)),
        "share of kernels": within.share,
        "locked": _by_reason(graph.locked),
        "out of reach": within.reasons,
        "build s": build_seconds,
        "weights bytes": weight_bytes,
    }
    before_bytes = _resident_bytes("VmRSS")
    _forget_peak()
    for way, spec in WAYS.items():
        plan, plan_seconds = timed(partial(make_plan, model, spec))
        pruned, surgery_seconds = timed(partial(apply_plan, model, plan))
        row["macs"] = plan.macs_before
        row[way] = {
            "params": pruned.count_params(),
            "macs": plan.macs_after,
            "plan s": plan_seconds,
            "surgery s": surgery_seconds,
        }
        if "added / weights" not in row:  # Later ways use again what the first one gave back.
            peak_bytes = _resident_bytes("VmHWM")
            row["added / weights"] = (peak_bytes - before_bytes) / weight_bytes
            row["peak / weights"] = (peak_bytes - start_bytes) / weight_bytes
        del pruned
    return row


def proofs(name: str) -> dict[str, Any]:
    """Prove the prunes of one architecture, before and after a save, at the smallest size it takes."""
    row: dict[str, Any] = {}
    for way, spec in WAYS.items():
        model = build(name, smallest_size(name))
        plan = make_plan(model, spec)
        randomise(model, plan)
        pruned = apply_plan(model, plan)
        proof = verify(model, pruned, plan)
        with tempfile.TemporaryDirectory() as directory:
            pruned.save(Path(directory, "pruned.keras"))
            del pruned
            again = verify(model, keras.saving.load_model(Path(directory, "pruned.keras")), plan)
        row[way] = {
            "difference": proof.max_relative_difference,
            "after reload": again.max_relative_difference,
            "precision": proof.precision,
            "spread": proof.output_spread,
            "verified": proof.passed and again.passed,
        }
    return row


def measure(name: str) -> dict[str, Any]:
    """Measure one architecture in processes of its own."""
    row: dict[str, Any] = {"name": name}
    try:
        row = measured_apart("-m", "benchmarks.zoo", name, "--only", "costs")
        for way, proof in measured_apart("-m", "benchmarks.zoo", name, "--only", "proofs").items():
            row[way] |= proof
    except RuntimeError as error:
        row["failed"] = str(error)
    return row


def faults(row: dict[str, Any]) -> list[str]:
    """Say what of a row is not as it should be."""
    if "failed" in row:
        return [f"failed: {row['failed']}"]
    found = [f"{way}: not proven right" for way in WAYS if not row[way]["verified"]]
    # Python's own objects weigh more than the weights of a small network.
    if row["weights bytes"] > 100e6 and 1 + row["added / weights"] >= MOST_MEMORY:
        found.append(f"more memory than {MOST_MEMORY:g} x the weights")
    if row["share of kernels"] < ENOUGH_IN_REACH and not row["out of reach"]:
        found.append("kernels are out of reach and nothing says why")
    return found


def _by_reason(locked: dict[str, str]) -> dict[str, list[str]]:
    """Return reason → the layers locked for it."""
    layers: dict[str, list[str]] = {}
    for path, reason in locked.items():
        layers.setdefault(reason, []).append(path)
    return layers


def _resident_bytes(key: str) -> int:
    """Return the memory that the process holds (`VmRSS`) or its peak (`VmHWM`); Linux only."""
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"{key}:\s+(\d+) kB", status)
    assert found is not None, f"no {key} in /proc/self/status"
    return int(found.group(1)) * 1024


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def table(rows: list[dict[str, Any]]) -> Table:
    """Lay the rows out for a terminal."""
    laid = Table(
        "model", "way", "params", "left", "MACs left", "channels in reach", "build s", "plan s", "surgery s",
        "added / weights", "difference", "after reload",
    )  # fmt: skip
    for row in rows:
        if "failed" in row:
            laid.add_row(row["name"], row["failed"][:60])
            continue
        for way in WAYS:
            found = row[way]
            laid.add_row(
                row["name"],
                way,
                f"{row['params'] / 1e6:.1f} M",
                f"{found['params'] / row['params']:.1%}",
                f"{found['macs'] / row['macs']:.1%}",
                f"{row['share of channels']:.1%}",
                f"{row['build s']:.2f}",
                f"{found['plan s']:.3f}",
                f"{found['surgery s']:.2f}",
                f"{row['added / weights']:.2f}",
                f"{found['difference']:.1e}",
                f"{found['after reload']:.1e}",
            )
    return laid


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--json", type=Path, default=Path("var/zoo.json"))
    parser.add_argument("--page", type=Path, help="default: docs/architectures.md, if no NAME is given")
    parser.add_argument("--only", choices=("costs", "proofs"), help="one measurement in this process, as JSON")
    arguments = parser.parse_args()
    if arguments.only:
        tell({"costs": costs, "proofs": proofs}[arguments.only](arguments.names[0]))
        return
    console = Console(width=170)
    rows = []
    for name in arguments.names or architectures():
        rows.append(measure(name))
        console.print(name, "; ".join(faults(rows[-1])) or "ok")
    console.print(table(rows))
    where = f"Keras {keras.__version__} on {keras.backend.backend()}, Python {platform.python_version()}, {machine()}"
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({"where": where, "rows": rows}, indent=2))
    destination = arguments.page or (None if arguments.names else Path("docs/architectures.md"))
    if destination:
        destination.write_text(page(rows, tuple(WAYS), where))
    wrong = [f"{row['name']}: {fault}" for row in rows for fault in faults(row)]
    console.print(f"{len(rows) - len({line.split(':')[0] for line in wrong})} of {len(rows)} as they should be")
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
