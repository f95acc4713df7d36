import hashlib
import io

import pytest

from jobs.record import ArtifactRecord
from jobs.status import JobStatus
from jobs.stores.base import Outcome
from tests.api.conftest import Service, assert_problem

pytestmark = pytest.mark.fast

DATA = b"0123456789" * 100
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def job(service: Service) -> str:
    """A job that succeeded with one artifact."""
    job = service.submit()
    claim = service.store.claim(job, 30)
    assert claim is not None
    service.artifacts.add(f"jobs/{job}", io.BytesIO(DATA))
    artifact = ArtifactRecord(name="pruned.keras", media_type="application/zip", size_bytes=len(DATA), sha256=DIGEST)
    service.store.finish(job, claim.fence, Outcome(JobStatus.SUCCEEDED, artifacts=[artifact]))
    return job


def test_artifacts_are_listed(service: Service, job: str) -> None:
    listed = service.client.get(f"/v1/jobs/{job}/artifacts").json()
    assert listed["items"] == service.client.get(f"/v1/jobs/{job}").json()["artifacts"]
    assert [item["name"] for item in listed["items"]] == ["pruned.keras"]


def test_an_artifact_is_downloaded(service: Service, job: str) -> None:
    response = service.client.get(f"/v1/jobs/{job}/artifacts/pruned.keras")
    assert response.content == DATA
    assert response.headers["etag"] == f'"{DIGEST}"'
    assert response.headers["content-type"] == "application/zip"
    assert 'filename="pruned.keras"' in response.headers["content-disposition"]


def test_an_unchanged_artifact_is_not_sent_again(service: Service, job: str) -> None:
    response = service.client.get(f"/v1/jobs/{job}/artifacts/pruned.keras", headers={"If-None-Match": f'"{DIGEST}"'})
    assert (response.status_code, response.content) == (304, b"")


def test_a_range_of_an_artifact(service: Service, job: str) -> None:
    response = service.client.get(f"/v1/jobs/{job}/artifacts/pruned.keras", headers={"Range": "bytes=10-14"})
    assert (response.status_code, response.content) == (206, b"01234")
    assert response.headers["content-range"] == f"bytes 10-14/{len(DATA)}"


@pytest.mark.parametrize("name", ["plan.json", "..%2F..%2Fetc%2Fpasswd", DIGEST])
def test_an_unknown_artifact_is_not_found(service: Service, job: str, name: str) -> None:
    assert_problem(service.client.get(f"/v1/jobs/{job}/artifacts/{name}"), 404, "not-found")


def test_artifacts_go_with_their_job(service: Service, job: str) -> None:
    assert service.client.delete(f"/v1/jobs/{job}").status_code == 204
    assert_problem(service.client.get(f"/v1/jobs/{job}/artifacts/pruned.keras"), 404, "not-found")
    assert not (service.data_directory / "artifacts" / "jobs" / job).exists()
