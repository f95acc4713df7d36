"""The job's child: reads a job directory, prunes, and answers by files; see docs/child-protocol.md.

Started as `python -m worker.runner JOB_DIRECTORY`. It knows nothing of Redis, stores or HTTP.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import traceback
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.spec import JobSpec
from pruning.errors import PruningError
from worker.candidates import FOLDER, worth_keeping

if TYPE_CHECKING:
    from pruning.report import PruningReport

MAX_EVENT_BYTES = 16 * 1024
MAX_REASON_CHARACTERS = 4000


def main(arguments: list[str]) -> int:
    """Run one job.

    Returns:
        0 if it succeeded, 1 if it failed; `result.json` says why.
    """
    directory = Path(arguments[0])
    try:
        result = {"status": "succeeded", **run(directory)}
    except PruningError as error:
        traceback.print_exc()
        result = {"status": "failed", "error": error.as_dict()}
    except MemoryError:
        traceback.print_exc()
        detail = "The job ran out of memory."
        result = {"status": "failed", "error": {"code": "out-of-memory", "detail": detail}}
    except Exception as error:  # noqa: BLE001 - whatever happens, the supervisor is told; the log has the rest.
        traceback.print_exc()
        detail = f"The job failed with an unexpected {type(error).__name__}."
        result = {"status": "failed", "error": {"code": "crashed", "detail": detail}}
    write_whole(directory / "result.json", json.dumps(result))
    return 0 if result["status"] == "succeeded" else 1


def run(directory: Path) -> dict[str, Any]:
    """Do what `job.json` says and write the outputs.

    Returns:
        What `result.json` says of a success: the figures of the delivered model, whether it is within all limits, and
        the candidates that have files.

    Raises:
        PruningError: The job cannot be done as asked.
    """
    job = json.loads((directory / "job.json").read_text())
    spec = JobSpec.model_validate(job["spec"])
    with (directory / "events.jsonl").open("a") as events:

        def tell(progress: Any) -> None:
            line = json.dumps(dataclasses.asdict(progress))
            if len(line) < MAX_EVENT_BYTES:
                events.write(line + "\n")
                events.flush()

        return _prune(directory, job, spec, tell)


def _prune(directory: Path, job: dict[str, Any], spec: JobSpec, tell: Any) -> dict[str, Any]:
    # Keras takes seconds to import; the supervisor shows "loading" meanwhile.
    from pruning.delivery import save_candidates, save_model
    from pruning.pipeline import prune
    from pruning.progress import Progress

    tell(Progress("loading", 0.0, message="starting Keras"))
    from pruning.load import load

    loaded = load(directory / job["model_file"])
    tell(Progress("loading", 0.0, message="reading the dataset"))
    data = load_data(directory, job["dataset"], loaded.model, spec)
    result = prune(loaded.model, spec.pruning, data, training=spec.training, on_progress=tell, notes=loaded.notes)
    output = directory / "output"
    output.mkdir(exist_ok=True)
    save_model(result.model, output / "pruned.keras")
    (output / "plan.json").write_text(result.plan.model_dump_json(indent=2))
    (output / "history.json").write_text(json.dumps(result.history, indent=2))

    def on_saved(number: int, count: int) -> None:
        tell(Progress("saving", 1.0, message=f"candidate {number} of {count} saved"))

    report = result.report
    kept = worth_keeping([each.name for each in report.candidates], report.front)
    aside = [name for name in kept if name != report.delivered]
    save_candidates(result, output / FOLDER, aside, on_saved)
    if len(kept) < len(report.candidates):
        note = f"only {len(kept)} of {len(report.candidates)} candidates have files, those of the front first"
        report = report.model_copy(update={"notes": (*report.notes, note)})
    (output / "report.json").write_text(report.model_dump_json(indent=2))
    return _success(report, kept, (output / "pruned.keras").stat().st_size)


def _success(report: PruningReport, kept: Collection[str], file_bytes: int) -> dict[str, Any]:
    last = report.after
    tested = {} if report.test is None else report.test.after
    metrics = {**last.metrics, **tested, "params": last.params, "file_bytes": file_bytes}
    return {
        "metrics": metrics | ({} if last.macs is None else {"macs": last.macs}),
        "goal_met": report.goal_met,
        "stopped_because": report.stopped_because[:MAX_REASON_CHARACTERS],
        "delivered": report.delivered,
        "candidates": [
            {"name": each.name, "is_baseline": each.baseline is not None}
            for each in report.candidates
            if each.name in kept
        ],
    }


def load_data(directory: Path, dataset: dict[str, Any] | None, model: Any, spec: JobSpec) -> Any:
    """Load the job's dataset in the form that the model takes, or `None` if there is none.

    Raises:
        DataError: The dataset is damaged or does not suit the model.
    """
    from pruning.datasets.loading import load_dataset

    if dataset is None:
        return None
    source = dataset["name"] if dataset["kind"] == "builtin" else directory / dataset["file"]
    scratch = directory / "work"
    training = spec.training
    return load_dataset(source, model, scratch, max_train_samples=training.max_train_samples, seed=training.seed)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    aside = path.with_suffix(".tmp")
    aside.write_text(text)
    os.replace(aside, path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
