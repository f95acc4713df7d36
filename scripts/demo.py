"""Prune a small network on a service of its own, from upload to download, and check what comes of it.

Run by `scripts/demo`. Ends with 0 only if the delivered model, loaded in a clean process, is as accurate
on held-out data as its report says.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from ridurre import Client, RidurreError
from ridurre.cli.literal import literal, literal_lines
from ridurre.cli.progress import ProgressDisplay
from ridurre.cli.table import before_after

MODEL_SCRIPT = Path(__file__).with_name("demo_model.py")
TOLERANCE = 0.001  # of accuracy, 0.1 percentage points
START_SECONDS = 120
STOP_SECONDS = 120

console = Console(highlight=False)


class DemoError(Exception):
    """Something is not as it should be."""


def main() -> None:
    """Run the demo."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ridurre-demo-") as name:
        folder = Path(name)
        console.rule("1. An untrained network for scikit-learn's digits")
        model = folder / "digits.keras"
        console.print(model_script("build", model)["summary"])
        console.rule("2. A service: Redis, API and worker")
        with service(folder / "data") as url, Client(url) as client:
            console.print(f"It listens on {url}")
            console.rule("3. A job: train, prune and fine-tune, post-train")
            job_id = run_job(client, model)
            console.rule("4. What it delivers")
            for artifact in client.artifacts(job_id):
                client.download(job_id, artifact.name, folder)
                console.print(f"{artifact.name}: {artifact.size_bytes:,} bytes, sha256 {artifact.sha256[:12]}… checked")
            report = client.report(job_id)
        check_report(report)
        console.rule("5. The pruned model in a clean process")
        check_accuracy(report, model_script("evaluate", folder / "pruned.keras"))
        console.print(before_after(report))
        console.print(literal(f"Stopped because {report['stopped_because']}."), soft_wrap=True)
    console.print(f"[bold green]All is well[/], after {time.monotonic() - started:.0f} seconds.")


def model_script(action: str, path: Path) -> dict[str, Any]:
    """Build or evaluate a model in a process of its own, the only one that loads Keras here."""
    environment = os.environ | {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
        "KERAS_HOME": str(path.parent / "keras"),
    }
    done = subprocess.run(
        [sys.executable, str(MODEL_SCRIPT), action, str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DemoError(f"demo_model.py {action} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@contextmanager
def service(data_directory: Path) -> Iterator[str]:
    """Run `ridurre serve` on a free port, with a Redis of its own, and yield its URL."""
    environment = {name: value for name, value in os.environ.items() if name not in ("RIDURRE_REDIS_URL", "REDIS_URL")}
    command = [sys.executable, "-m", "ridurre", "serve", "--port", "0", "--data-directory", str(data_directory)]
    log = data_directory.with_name("serve.log")
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        yield wait_for_url(process, log)
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(STOP_SECONDS)
    if status != 0:
        raise DemoError(f"The service ended with {status}:\n{log.read_text()[-2000:]}")
    console.print("The service has stopped.")


def wait_for_url(process: subprocess.Popen[bytes], log: Path) -> str:
    """Return the URL that the service prints once it is ready."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if found := re.search(r"ready at (\S+)", log.read_text()):
            return found[1]
        time.sleep(0.1)
    raise DemoError(f"The service is not ready:\n{log.read_text()[-2000:]}")


def run_job(client: Client, model: Path) -> str:
    """Upload, submit and follow a job; return its id once it has succeeded."""
    uploaded = client.upload_model(model)
    console.print(f"Uploaded {uploaded.filename} as {uploaded.id}")
    job = client.submit(
        uploaded,
        "digits",
        name="demo",
        criterion="kmeans",
        ratio=0.25,
        num_iterations=2,
        training={"epochs": 12, "fine_tuning_epochs": 4, "post_training_epochs": 3, "learning_rate": 0.002},
    )
    with ProgressDisplay(console) as display:
        finished = client.wait(job.id, on_event=display.on_event)
    return finished.raise_unless_succeeded().id


def check_report(report: dict[str, Any]) -> None:
    """Make sure that the job did all that was asked."""
    steps = [step["step"] for step in report["steps"]]
    expected = ["initial", "training", "pruning", "fine-tuning", "pruning", "fine-tuning", "post-training"]
    if steps != expected:
        raise DemoError(f"The report tells of other steps than were asked for: {steps}; expected {expected}")
    before, after = report["steps"][0], report["steps"][-1]
    if not (after["params"] < before["params"] and after["macs"] < before["macs"]):
        raise DemoError(f"The model did not become smaller: {before['params']} → {after['params']} parameters")


def check_accuracy(report: dict[str, Any], measured: dict[str, Any]) -> None:
    """Compare the report with what a clean process measured."""
    after = report["steps"][-1]
    console.print(
        f"accuracy {measured['accuracy']:.4f} on {measured['num_samples']} held-out images; "
        f"the report says {after['metrics']['val_accuracy']:.4f}"
    )
    if abs(measured["accuracy"] - after["metrics"]["val_accuracy"]) > TOLERANCE:
        raise DemoError("The delivered model is not as accurate as its report says.")
    if measured["params"] != after["params"]:
        raise DemoError(f"It has {measured['params']} parameters; the report says {after['params']}.")


if __name__ == "__main__":
    try:
        main()
    except (DemoError, RidurreError, subprocess.TimeoutExpired) as error:
        console.print(literal_lines(f"The demo failed: {error}", "bold red"), soft_wrap=True)
        sys.exit(1)
