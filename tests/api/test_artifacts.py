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


@pytest.mark.parametrize(
    ("wanted", "content"),
    [
        ("bytes=995-", DATA[995:]),
        ("bytes=-5", DATA[-5:]),
        ("bytes=-5000", DATA),
        ("bytes=0-99999999999999999999", DATA),
        ("bytes=2000-,0-4", DATA[:5]),
    ],
)
def test_what_a_file_has_of_a_range(service: Service, job: str, wanted: str, content: bytes) -> None:
    response = service.client.get(f"/v1/jobs/{job}/artifacts/pruned.keras", headers={"Range": wanted})
    assert (response.status_code, response.content) == (206, content)


@pytest.mark.parametrize("wanted", ["lines=1-2", "bytes", "bytes=", "bytes=a-b", "bytes=5-1", "bytes=1-2,x", "-", ""])
def test_a_range_that_makes_no_sense_is_ignored(service: Service, job: str, wanted: str) -> None:
    response = service.client.get(f"/v1/jobs/{job}/artifacts/pruned.keras", headers={"Range": wanted})
    assert (response.status_code, response.content) == (200, DATA)


@pytest.mark.parametrize("wanted", ["bytes=1000-", "bytes=5000-6000", "bytes=-0", "bytes=1000-,2000-"])
def test_a_range_past_the_end_is_a_problem(service: Service, job: str, wanted: str) -> None:
    path = f"/v1/jobs/{job}/artifacts/pruned.keras"
    response = service.client.get(path, headers={"Range": wanted})
    problem = assert_problem(response, 416, "range-not-satisfiable")
    assert (problem["field"], problem["received"]) == ("Range", wanted)
    assert response.headers["content-range"] == f"bytes */{len(DATA)}"
    assert service.client.get(path, headers={"Range": wanted, "If-Range": '"other"'}).content == DATA


def test_the_head_of_an_artifact(service: Service, job: str) -> None:
    response = service.client.head(f"/v1/jobs/{job}/artifacts/pruned.keras", headers={"Range": "bytes=5000-"})
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == str(len(DATA))
    assert response.headers["etag"] == f'"{DIGEST}"'


@pytest.mark.parametrize("name", ["plan.json", "..%2F..%2Fetc%2Fpasswd", DIGEST])
def test_an_unknown_artifact_is_not_found(service: Service, job: str, name: str) -> None:
    assert_problem(service.client.get(f"/v1/jobs/{job}/artifacts/{name}"), 404, "not-found")


def test_an_unfinished_job_says_so(service: Service) -> None:
    job = service.submit()
    service.store.claim(job, 30)
    problem = assert_problem(service.client.get(f"/v1/jobs/{job}/artifacts/pruned.keras"), 404, "not-found")
    assert "is running" in problem["detail"]
    assert "Wait" in problem["hint"]
    assert problem["field"] == "name"


def test_artifacts_go_with_their_job(service: Service, job: str) -> None:
    assert service.client.delete(f"/v1/jobs/{job}").status_code == 204
    assert_problem(service.client.get(f"/v1/jobs/{job}/artifacts/pruned.keras"), 404, "not-found")
    assert not (service.data_directory / "artifacts" / "jobs" / job).exists()
