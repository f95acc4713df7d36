"""The report: what version 1 said is still read, in today's words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from pruning import PruningSpec, TrainingSpec
from pruning.report import CallTime, PruningReport, StepReport, as_version_2

METRICS = {"loss": 0.25, "accuracy": 0.75, "head_loss": 0.5}


def old_report() -> dict[str, Any]:
    """Return a report as version 1 had it."""
    row = {"params": 10, "macs": None, "file_bytes": 100, "seconds": 1.0}
    steps = [
        {**row, "step": "initial", "metrics": METRICS, "latency_seconds": 0.5},
        {**row, "step": "pruning", "iteration": 1, "metrics": {}, "latency_seconds": None},
    ]
    specs = {"pruning": PruningSpec(ratio=0.5).model_dump(), "training": TrainingSpec().model_dump()}
    rest = {"layers": [], "stopped_because": "", "notes": []}
    report: dict[str, Any] = json.loads(json.dumps({"schema_version": 1, "steps": steps, **specs, **rest}))
    return report


def test_version_1_is_read() -> None:
    report = PruningReport.model_validate_json(json.dumps(old_report()))
    assert report.schema_version == 2
    assert report.before.metrics == {"val_loss": 0.25, "val_accuracy": 0.75, "val_head_loss": 0.5}
    assert (report.before.target_latency_seconds, report.before.latency) == (0.5, {})
    assert (report.after.metrics, report.after.target_latency_seconds) == ({}, None)
    assert "latency_seconds" not in as_version_2(old_report())["steps"][0]


def test_version_2_is_read_as_it_is() -> None:
    timed = CallTime(
        median_seconds=0.2, first_quartile_seconds=0.1, third_quartile_seconds=0.3, num_calls=9, batch_size=1
    )
    old = PruningReport.model_validate(old_report())
    first = old.before.model_copy(update={"latency": {"keras": timed}})
    report = old.model_copy(update={"steps": (first, *old.steps[1:])})
    assert PruningReport.model_validate_json(report.model_dump_json()) == report
    assert as_version_2(report.model_dump(mode="json")) == report.model_dump(mode="json")
    assert set(StepReport.model_fields) >= {"latency", "target_latency_seconds"}


def test_a_later_version_is_refused() -> None:
    with pytest.raises(ValidationError, match="schema_version"):
        PruningReport.model_validate({**old_report(), "schema_version": 3})
