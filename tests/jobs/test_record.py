"""What the library tells, the service remembers and the client reads are the same things."""

from __future__ import annotations

import dataclasses

import pytest
from pydantic import BaseModel

from jobs import record
from pruning.progress import Progress
from ridurre import objects

pytestmark = pytest.mark.fast


def test_what_the_library_tells_of_a_run_is_remembered() -> None:
    told = {field.name for field in dataclasses.fields(Progress)}
    assert set(record.Progress.model_fields) == told - {"metrics"} | {"eta_seconds"}


@pytest.mark.parametrize(
    ("read", "remembered"),
    [
        (objects.Progress, [record.Progress]),
        (objects.Artifact, [record.ArtifactRecord]),
        (objects.Event, [record.Event]),
        (objects.Job, [record.JobRecord]),
        (objects.Uploaded, [record.ModelRecord, record.DatasetRecord]),
    ],
)
def test_the_client_reads_what_the_service_remembers(read: type[BaseModel], remembered: list[type[BaseModel]]) -> None:
    assert set(read.model_fields) <= {name for kind in remembered for name in kind.model_fields}
