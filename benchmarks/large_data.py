"""Datasets of many times the memory that a process may have: do they train, and how fast?

    python -m benchmarks.large_data [--limit-mib N] [--times N] [--forms NAME…] [--folder FOLDER] [--json FILE]

Each form of data is written to disk with images of random bytes, `--times` as many bytes as `--limit-mib`; then a
process whose `RLIMIT_DATA` is the limit loads it, trains a small network for an epoch, prunes it and trains again. The
same arrays, few enough to fit, are also read in batches from memory and from disk, in turns. What is measured of
memory is what belongs to the process alone: pages of the files can be dropped at any time.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import statistics
import threading
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.apart import machine, measured_apart, tell, timed

SIZE = 224
IMAGE_BYTES = SIZE * SIZE * 3
NUM_CLASSES = 4
BATCH = 64
NUM_FITTING = 4096
"""Images of which both ways to read are timed."""


def arrays_file(path: Path, num_images: int) -> None:
    """Write an `.npz` without holding its arrays."""
    generator = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("x_train.npy", "w", force_zip64=True) as member:
            header = {"descr": "|u1", "fortran_order": False, "shape": (num_images, SIZE, SIZE, 3)}
            np.lib.format.write_array_header_2_0(member, header)
            for start in range(0, num_images, 256):
                count = min(256, num_images - start)
                member.write(generator.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8).data)
        with archive.open("y_train.npy", "w") as member:
            np.lib.format.write_array(member, np.arange(num_images) % NUM_CLASSES)


def images_file(path: Path, num_images: int) -> None:
    """Write a zip of class folders of JPEG images, of which there are as many different ones as classes."""
    from PIL import Image

    generator = np.random.default_rng(0)
    contents = []
    for _ in range(NUM_CLASSES):
        small = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        small.resize((SIZE, SIZE)).save(buffer, "JPEG")
        contents.append(buffer.getvalue())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number in range(num_images):
            archive.writestr(f"train/{number % NUM_CLASSES}/{number:07d}.jpg", contents[number % NUM_CLASSES])


FORMS: dict[str, Callable[[Path, int], None]] = {"npz": arrays_file, "zip of images": images_file}


def train(path: Path, scratch: Path, limit: int) -> dict[str, Any]:
    """Train and prune in this process with no more data than allowed; return peak memory in bytes and seconds."""
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    peak = _Peak()
    import keras
    from keras import layers

    from pruning import prune
    from pruning.datasets.loading import load_dataset

    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 8, strides=8, activation="relu"),
            layers.Conv2D(16, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(NUM_CLASSES, activation="softmax"),
        ]
    )
    data, loading = timed(partial(load_dataset, path, model, scratch))
    training = {"epochs": 1, "fine_tuning_epochs": 1, "batch_size": BATCH}
    result, pruning = timed(partial(prune, model, {"ratio": 0.5}, data, training=training))
    return {
        "num_train": data.num_train,
        "loading_seconds": loading,
        "pruning_seconds": pruning,
        "peak_bytes": peak.stop(),
        "params_left": result.plan.params_after / result.plan.params_before,
    }


class _Peak:
    """The most memory that this process alone has had, looked at ten times a second."""

    def __init__(self) -> None:
        self._most, self._stopped = 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stopped.wait(0.1):
            lines = Path("/proc/self/status").read_text().splitlines()
            kib = next(int(line.split()[1]) for line in lines if line.startswith("VmData"))
            self._most = max(self._most, kib * 1024)

    def stop(self) -> int:
        self._stopped.set()
        self._thread.join()
        return self._most


def throughput(path: Path, scratch: Path, num_pairs: int = 7) -> float:
    """Return images a second of batches from disk over those from memory, the median over pairs in turns."""
    from pruning.datasets.npz import load_npz
    from pruning.training.batches import Batches

    data = load_npz(path, scratch)
    (mapped,), (y,) = data.x_train.values(), data.y_train.values()
    ways = {"disk": mapped, "memory": np.array(mapped)}
    batches = {
        way: Batches({"": x}, {"": np.array(y)}, (0, 0), batch_size=BATCH, shuffle=True) for way, x in ways.items()
    }
    ratios = []
    for pair in range(num_pairs + 1):
        seconds = {}
        for way in sorted(ways, reverse=bool(pair % 2)):
            start = time.process_time()
            for index in range(len(batches[way])):
                batches[way][index]
            seconds[way] = time.process_time() - start
            batches[way].on_epoch_end()
        ratios.append(seconds["memory"] / seconds["disk"])
    return statistics.median(ratios[1:])  # The first reads the file into the system's cache.


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit-mib", type=int, default=2048, help="of a process's data, code of libraries apart")
    parser.add_argument("--times", type=float, default=10, help="how many times as large the data is")
    parser.add_argument("--forms", nargs="+", choices=list(FORMS), default=list(FORMS))
    parser.add_argument("--folder", type=Path, help="where to write; somewhere temporary if not given")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--train", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    limit = arguments.limit_mib * 1024**2
    if arguments.train:
        path, scratch = arguments.train
        tell(train(path, scratch, limit))
        return
    num_images = int(arguments.times * limit / IMAGE_BYTES)
    rows = []
    for form in arguments.forms:
        with TemporaryDirectory(dir=arguments.folder) as folder:
            path, scratch = Path(folder, "data"), Path(folder, "scratch")
            scratch.mkdir()
            FORMS[form](path, num_images)
            command = ("-m", "benchmarks.large_data", "--limit-mib", str(arguments.limit_mib))
            row = measured_apart(*command, "--train", str(path), str(scratch))
            rows.append({"form": form, "limit_bytes": limit, "data_bytes": num_images * IMAGE_BYTES, **row})
    with TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder, "data.npz")
        arrays_file(path, NUM_FITTING)
        ratio = throughput(path, Path(folder))
    if arguments.json:
        text = json.dumps({"machine": machine(), "rows": rows, "disk_over_memory": ratio}, indent=1)
        arguments.json.write_text(text + "\n")
    table = Table("form", "data", "limit", "peak", "loading", "training and pruning")
    for row in rows:
        sizes = [f"{row[name] / 2**30:.2f} GiB" for name in ("data_bytes", "limit_bytes", "peak_bytes")]
        table.add_row(row["form"], *sizes, *(f"{row[name]:.0f} s" for name in ("loading_seconds", "pruning_seconds")))
    Console(width=120).print(table)
    Console(width=120).print(f"batches from disk over batches from memory: {ratio:.2f}")


if __name__ == "__main__":
    main()
