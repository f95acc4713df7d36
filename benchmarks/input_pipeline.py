"""Images a second of the input pipeline alone, with no model behind it: does it keep an accelerator busy?

    python -m benchmarks.input_pipeline [--size N] [--batch-size N] [--passes N] [--json FILE]

20,000 images of random bytes with three channels, in a new order each pass; each figure is the best of the passes.
"""

from __future__ import annotations

import argparse
import json
import platform
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.apart import machine, timed
from pruning.spec import Augmentation
from pruning.training.batches import Batches

NUM_IMAGES = 20_000
WISHES: dict[str, dict[str, Any]] = {
    "none": {},
    "flip": {"horizontal_flip": True},
    "flip and crop by 4": {"horizontal_flip": True, "crop": 4},
}


def measure(size: int, batch_size: int, num_passes: int) -> list[dict[str, Any]]:
    """Return one row for each way to augment, with labels and with masks as targets."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (NUM_IMAGES, size, size, 3), dtype=np.uint8)
    targets = {"labels": generator.integers(0, 10, NUM_IMAGES), "masks": images[..., 0] > 127}
    rows = []
    for wish, fields in WISHES.items():
        for kind, y in targets.items():
            batches = Batches(
                {"": images}, {"": y}, (0, 0),
                batch_size=batch_size, shuffle=True, augmentation=Augmentation.model_validate(fields),
            )  # fmt: skip
            seconds = min(timed(partial(_pass, batches))[1] for _ in range(num_passes))
            rows.append({"augmentation": wish, "targets": kind, "images a second": round(NUM_IMAGES / seconds)})
    return rows


def _pass(batches: Batches) -> None:
    for index in range(len(batches)):
        batches[index]
    batches.on_epoch_end()


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32, help="height and width of the images")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = measure(arguments.size, arguments.batch_size, arguments.passes)
    table = Table(*rows[0], title=f"{arguments.size}x{arguments.size}x3, {arguments.batch_size} a batch; {machine()}")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else value for value in row.values()))
    Console().print(table)
    if arguments.json:
        measured = {"python": platform.python_version(), "machine": machine(), "rows": rows}
        arguments.json.write_text(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()
