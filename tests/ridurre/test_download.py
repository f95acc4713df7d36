"""Downloads: digests, resumption, and the target that changes only when all is well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from ridurre.download import Download
from ridurre.errors import DigestMismatchError, NotFoundError, ServiceUnreachableError, UnexpectedAnswerError
from tests.ridurre.conftest import Call
from tests.ridurre.fake_service import ARTIFACTS, JOB_ID, FakeService, etag

pytestmark = pytest.mark.fast

NAME = "pruned.keras"
CONTENT = ARTIFACTS[NAME]
PATH = ("GET", f"/v1/jobs/{JOB_ID}/artifacts/{NAME}")


class BrokenStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Some bytes, then a broken connection."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content
        raise httpx.ReadError("connection reset")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content
        raise httpx.ReadError("connection reset")


def test_download_into_a_folder(call: Call, tmp_path: Path) -> None:
    assert call("download", JOB_ID, NAME, tmp_path) == tmp_path / NAME
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [tmp_path / NAME]


def test_other_bytes_than_announced_are_refused(call: Call, service: FakeService, tmp_path: Path) -> None:
    target = tmp_path / "model.keras"
    target.write_bytes(b"before")
    service.answers[PATH] = lambda _: httpx.Response(200, content=CONTENT + b"!", headers={"ETag": etag(CONTENT)})
    with pytest.raises(DigestMismatchError, match=r"does not match, so"):
        call("download", JOB_ID, NAME, target)
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupted_download_goes_on_where_it_broke_off(call: Call, service: FakeService, tmp_path: Path) -> None:
    def break_off_once(request: httpx.Request) -> httpx.Response:
        if "Range" in request.headers:
            return service.artifact(request)
        return httpx.Response(200, stream=BrokenStream(CONTENT[:7000]), headers={"ETag": etag(CONTENT)})

    service.answers[PATH] = break_off_once
    call("download", JOB_ID, NAME, tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == CONTENT
    assert [request.headers.get("Range") for request in service.requests] == [None, "bytes=7000-"]
    assert service.requests[1].headers["If-Range"] == etag(CONTENT)


def test_a_file_that_changed_meanwhile_is_fetched_anew(call: Call, service: FakeService, tmp_path: Path) -> None:
    answers = iter(
        [
            httpx.Response(200, stream=BrokenStream(b"older"), headers={"ETag": etag(b"older version")}),
            httpx.Response(200, content=CONTENT, headers={"ETag": etag(CONTENT)}),
        ]
    )
    service.answers[PATH] = lambda _: next(answers)
    call("download", JOB_ID, NAME, tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == CONTENT


def test_a_connection_that_breaks_after_the_last_byte_is_no_loss(
    call: Call, service: FakeService, tmp_path: Path
) -> None:
    headers = {"ETag": etag(CONTENT), "Content-Length": str(len(CONTENT))}
    service.answers[PATH] = lambda _: httpx.Response(200, stream=BrokenStream(CONTENT), headers=headers)
    call("download", JOB_ID, NAME, tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == CONTENT
    assert len(service.requests) == 1


def test_a_download_that_gets_nowhere_gives_up(call: Call, service: FakeService, tmp_path: Path) -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    service.answers[PATH] = refuse
    with pytest.raises(ServiceUnreachableError, match="was interrupted after 0 bytes"):
        call("download", JOB_ID, NAME, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_the_wrong_range_is_refused(call: Call, service: FakeService, tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        headers = {"ETag": etag(CONTENT)}
        if "Range" in request.headers:
            return httpx.Response(206, content=b"x", headers={**headers, "Content-Range": "bytes 1-1/9"})
        return httpx.Response(200, stream=BrokenStream(CONTENT[:7000]), headers=headers)

    service.answers[PATH] = answer
    with pytest.raises(UnexpectedAnswerError, match="did not resume"):
        call("download", JOB_ID, NAME, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_bytes_without_a_digest_are_refused(call: Call, service: FakeService, tmp_path: Path) -> None:
    service.answers[PATH] = lambda _: httpx.Response(200, content=CONTENT)
    with pytest.raises(UnexpectedAnswerError, match="has no digest"):
        call("download", JOB_ID, NAME, tmp_path / "m")


def test_an_unknown_artifact(call: Call, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        call("download", JOB_ID, "absent", tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_leaves_nothing_behind(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: Download, __: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Download, "write", interrupt)
    with pytest.raises(KeyboardInterrupt) as interruption:
        call("download", JOB_ID, NAME, tmp_path / "m")
    # While its traceback is kept, nothing that it refers to is collected, and cleaned up by that alone.
    assert interruption.tb is not None
    assert list(tmp_path.iterdir()) == []
