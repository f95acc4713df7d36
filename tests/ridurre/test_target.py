"""Where results go: refused before any work is done for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import ridurre
from ridurre.errors import RidurreError
from ridurre.target import check_file_target, check_folder_target, check_model_target
from tests.ridurre.conftest import Call
from tests.ridurre.fake_service import JOB_ID, FakeService

pytestmark = pytest.mark.fast


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.keras"
    path.write_bytes(b"abc")
    return path


def bad_targets(folder: Path) -> dict[Path, str]:
    (folder / "folder.keras").mkdir()
    (folder / "file").touch()
    return {
        folder / "absent" / "x.keras": "does not exist",
        folder / "file" / "x.keras": "is not a folder",
        folder / "folder.keras": "is a folder",
        folder / "x.h5": "ends in .keras",
    }


def test_bad_targets_are_refused_before_any_request(
    call: Call, service: FakeService, model: Path, tmp_path: Path
) -> None:
    for out, why in bad_targets(tmp_path).items():
        with pytest.raises(RidurreError, match=why) as caught:
            call("prune", model, ratio=0.5, out=out)
        assert caught.value.received == str(out)
        assert caught.value.expected
    assert service.requests == []


def test_bad_targets_are_refused_before_a_model_is_loaded(model: Path, tmp_path: Path) -> None:
    for out, why in bad_targets(tmp_path).items():
        with pytest.raises(RidurreError, match=why):
            ridurre.prune(model, ratio=0.5, out=out)


def test_downloads_are_refused_before_any_request(call: Call, service: FakeService, tmp_path: Path) -> None:
    with pytest.raises(RidurreError, match="does not exist"):
        call("download", JOB_ID, "report.json", tmp_path / "absent" / "report.json")
    assert service.requests == []


@pytest.mark.parametrize("check", [check_model_target, check_file_target])
def test_what_must_not_be_written(
    check: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "x.keras"
    assert check(target) == target
    target.touch()
    monkeypatch.setattr(os, "access", lambda path, _: path != target)
    with pytest.raises(RidurreError, match="not writable"):
        check(target)
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    with pytest.raises(RidurreError, match="is not writable"):
        check(target)
    with pytest.raises(RidurreError, match="is not writable"):
        check_folder_target(tmp_path)


def test_what_goes_wrong_after_the_job_names_the_job(call: Call, service: FakeService, model: Path) -> None:
    del service.answers["GET", f"/v1/jobs/{JOB_ID}/artifacts/pruned.keras"]
    with pytest.raises(RidurreError, match=f"ridurre download {JOB_ID}"):
        call("prune", model, ratio=0.5)


def test_a_disk_that_fails_after_the_job_names_the_job(
    call: Call, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ridurre.download.Download.write", fail)
    with pytest.raises(RidurreError, match=rf"(?s)No space left.*ridurre download {JOB_ID}"):
        call("prune", model, ratio=0.5)
