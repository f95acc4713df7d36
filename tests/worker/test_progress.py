import json
from pathlib import Path
from typing import Any

import pytest

from worker.directory import JobDirectory
from worker.progress import LEAST_ETA_SECONDS, ChildEvent, ProgressTail

pytestmark = pytest.mark.fast


def steps_after(directory: Path, *lines: str) -> list[ChildEvent]:
    (directory / "events.jsonl").write_text("".join(line + "\n" for line in lines))
    tail = ProgressTail(JobDirectory(directory))
    try:
        return tail.read()
    finally:
        tail.close()


def metrics_after(directory: Path, *events: dict[str, Any]) -> list[dict[str, float]]:
    return [step.metrics for step in steps_after(directory, *map(json.dumps, events))]


def test_figures_of_different_epochs_are_not_mixed(tmp_path: Path) -> None:
    training = {"phase": "training", "metrics": {"loss": 0.5, "val_loss": 0.6}}
    fine_tuning = {"phase": "fine-tuning", "metrics": {"loss": 0.4}}
    assert metrics_after(tmp_path, training, fine_tuning) == [{"loss": 0.5, "val_loss": 0.6}, {"loss": 0.4}]


def test_the_latest_figures_stay_while_none_come(tmp_path: Path) -> None:
    training, pruning = {"phase": "training", "metrics": {"loss": 0.5}}, {"phase": "pruning"}
    assert metrics_after(tmp_path, training, pruning) == [{"loss": 0.5}, {"loss": 0.5}]


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.999_999, 1.0, None])
@pytest.mark.parametrize("told", ["0", "0.2", "-1", "NaN", "Infinity", "null", "30.04"])
def test_no_event_says_that_no_time_is_left(tmp_path: Path, fraction: float | None, told: str) -> None:
    line = json.dumps({"phase": "saving", "fraction": fraction, "eta_seconds": "?"}).replace('"?"', told)
    (step,) = steps_after(tmp_path, line)
    if told == "30.04":
        assert step.progress.eta_seconds == 30.0
    elif told.startswith("0"):
        assert step.progress.eta_seconds == LEAST_ETA_SECONDS
    elif fraction in (None, 1.0):
        assert step.progress.eta_seconds is None, "there is nothing to go by"
    else:
        assert step.progress.eta_seconds is not None
        assert step.progress.eta_seconds >= LEAST_ETA_SECONDS
