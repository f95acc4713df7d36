"""ResNet-20 on CIFAR-10 through a running service: from the zip of images to the downloaded, re-measured model.

    ridurre serve &
    python -m benchmarks.case_study MODEL.keras IMAGES.zip [--url URL] [--json FILE]

Removes at least 60 % of the parameters with KMeans in four iterations, fine-tuning on a subset of the training
images. The accuracy of the report is measured again by a process that imports Keras, Pillow and NumPy only.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

import ridurre

EVALUATE = """
import io, sys, zipfile
import keras, numpy as np
from PIL import Image
model = keras.saving.load_model(sys.argv[1], compile=False)
archive = zipfile.ZipFile(sys.argv[2])
names = [name for name in archive.namelist() if name.startswith("validation/") and not name.endswith("/")]
classes = sorted({name.split("/")[1] for name in names})
images = np.stack([np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in names])
labels = np.array([classes.index(name.split("/")[1]) for name in names])
print("accuracy", np.mean(np.argmax(model.predict(images, batch_size=250, verbose=0), axis=1) == labels))
"""


def main() -> None:
    """Run the study, print it and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--url", default=None)
    parser.add_argument("--samples", type=int, default=10_000, help="training images to fine-tune on")
    parser.add_argument("--epochs", type=int, default=2, help="after each prune, and at the end")
    parser.add_argument("--json", type=Path, default=Path("var/case_study.json"))
    arguments = parser.parse_args()
    with ridurre.Client(arguments.url) as client:
        job = client.submit(
            client.upload_model(arguments.model),
            client.upload_dataset(arguments.images),
            criterion="kmeans",
            target_params=0.39,
            num_iterations=4,
            training={
                "fine_tuning_epochs": arguments.epochs,
                "post_training_epochs": arguments.epochs,
                "max_train_samples": arguments.samples,
                "batch_size": 128,
                "augmentation": {"horizontal_flip": True, "crop": 4},
            },
        )
        client.wait(job.id).raise_unless_succeeded()
        report = client.report(job.id)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "pruned.keras")
            client.download(job.id, "pruned.keras", path)
            command = [sys.executable, "-c", EVALUATE, str(path), str(arguments.images)]
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    match = re.search(r"accuracy ([\d.]+)", printed)
    measured = float(match.group(1)) if match else float("nan")
    table = Table("step", "iteration", "params", "MACs", "file bytes", "validation accuracy", "difference to masked")
    for step in report["steps"]:
        figures = (step["params"], step["macs"], step["file_bytes"], round(step["metrics"]["val_accuracy"], 4))
        table.add_row(
            step["step"], *(str(value) for value in (step["iteration"], *figures, step["max_relative_difference"]))
        )
    console = Console(width=140)
    console.print(table)
    reported = report["steps"][-1]["metrics"]["val_accuracy"]
    console.print(f"reported {reported:.4f}, measured from the downloaded file {measured:.4f}")
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({"report": report, "measured_accuracy": measured}, indent=2))
    if not abs(reported - measured) <= 0.001:
        raise SystemExit("the report's accuracy is not that of the downloaded file")


if __name__ == "__main__":
    main()
