"""How records look inside Redis: hashes of text and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from jobs.record import ArtifactRecord, Event, JobRecord
from jobs.status import JobStatus
from pruning.figures import VALIDATION

JSON_FIELDS = ("name", "spec", "progress", "metrics", "error", "artifacts", "goal_met", "stopped_because")
TIME_FIELDS = ("created_at", "started_at", "finished_at")
NUMBER_FIELDS = ("attempt", "version")
SIZES = {"params", "macs", "file_bytes"}


def compact_json(value: Any) -> str:
    """Return `value` as JSON without blanks; NaN is refused with `ValueError`."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def artifacts_json(artifacts: Sequence[ArtifactRecord]) -> str:
    """Return artifacts as JSON."""
    return compact_json([artifact.model_dump(mode="json") for artifact in artifacts])


def job_from_hash(fields: Mapping[str, str] | Sequence[str]) -> JobRecord:
    """Read a job from its hash, given as a mapping or as a script returns it: names and values in turn."""
    if not isinstance(fields, Mapping):
        fields = dict(zip(fields[::2], fields[1::2], strict=True))
    values: dict[str, Any] = {
        "id": fields["id"],
        "status": fields["status"],
        "cancel_requested": fields["cancel_requested"] == "1",
    }
    values |= {name: json.loads(fields[name]) for name in JSON_FIELDS if name in fields}
    values |= {name: _time(fields[name]) for name in TIME_FIELDS if name in fields}
    values |= {name: int(fields[name]) for name in NUMBER_FIELDS}
    if values["status"] == JobStatus.SUCCEEDED:
        values["metrics"] = _named_as_now(values.get("metrics") or {})
        values.setdefault("goal_met", True)  # Records of before say nothing of it.
    return JobRecord.model_validate(values)


def _named_as_now(results: Mapping[str, float]) -> dict[str, float]:
    """Return the figures of a delivered model, all of the validation set; records once gave them without `val_`."""
    if any(name.startswith(VALIDATION) for name in results):
        return dict(results)
    return {name if name in SIZES else VALIDATION + name: value for name, value in results.items()}


def event_from_entry(entry_id: str, fields: Mapping[str, str]) -> Event:
    """Read an event from an entry of a stream."""
    event = {"id": entry_id, "kind": fields["kind"], "at": _time(fields["at"]), "data": json.loads(fields["data"])}
    return Event.model_validate(event)


def _time(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
