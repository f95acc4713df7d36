import json
from pathlib import Path
from typing import Any

import pytest

from worker.directory import JobDirectory
from worker.progress import ProgressTail

pytestmark = pytest.mark.fast


def metrics_after(directory: Path, *events: dict[str, Any]) -> list[dict[str, float]]:
    (directory / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    tail = ProgressTail(JobDirectory(directory))
    try:
        return [step.metrics for step in tail.read()]
    finally:
        tail.close()


def test_figures_of_different_epochs_are_not_mixed(tmp_path: Path) -> None:
    training = {"phase": "training", "metrics": {"loss": 0.5, "val_loss": 0.6}}
    fine_tuning = {"phase": "fine-tuning", "metrics": {"loss": 0.4}}
    assert metrics_after(tmp_path, training, fine_tuning) == [{"loss": 0.5, "val_loss": 0.6}, {"loss": 0.4}]


def test_the_latest_figures_stay_while_none_come(tmp_path: Path) -> None:
    training, pruning = {"phase": "training", "metrics": {"loss": 0.5}}, {"phase": "pruning"}
    assert metrics_after(tmp_path, training, pruning) == [{"loss": 0.5}, {"loss": 0.5}]
