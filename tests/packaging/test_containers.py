"""docker-compose.yml and the Dockerfiles, without Docker: what they name exists here, and they are closed up."""

from __future__ import annotations

import re
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.queue import WORKER_COMMAND
from jobs.settings import Settings
from ridurre.serve import API_COMMAND
from tests.packaging.dockerfile import Dockerfile

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]
IMAGES = ("api", "worker")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def dockerfile(image: str) -> Dockerfile:
    return Dockerfile.read(ROOT / "docker" / f"{image}.Dockerfile")


def locked(path: str) -> set[str]:
    """Return the names of the packages in a lock."""
    return set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / path).read_text(), re.MULTILINE))


def test_the_services_are_these() -> None:
    assert set(SERVICES) == {"redis", "api", "worker", "worker-gpu"}
    assert SERVICES["worker-gpu"]["profiles"] == ["gpu"]
    (device,) = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_commands_are_those_of_serve() -> None:
    api, worker = dockerfile("api").command, dockerfile("worker").command
    assert api[: 1 + len(API_COMMAND)] == ["python", *API_COMMAND]
    assert worker == ["python", *WORKER_COMMAND]
    for command in (api, worker):
        assert find_spec(command[2]) is not None, f"there is no module {command[2]} to run"


@pytest.mark.parametrize("image", IMAGES)
def test_what_is_copied_exists_and_is_not_ignored(image: str) -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignore[0] == "*"
    for source in dockerfile(image).copied:
        assert (ROOT / source).exists(), source
        assert f"!{source.split('/')[0]}" in ignore, source


@pytest.mark.parametrize("image", IMAGES)
def test_images_are_pinned_and_end_as_an_ordinary_user(image: str) -> None:
    file = dockerfile(image)
    assert [base for base in file.all("FROM") if not re.fullmatch(r"[a-z]+:\d+\.\d+\.\d+-[a-z-]+", base)] == []
    assert file.all("USER") == ["ridurre"]
    assert all("--require-hashes" in run or "--no-deps" in run for run in file.all("RUN") if "pip install" in run)


def test_build_files_and_arguments_exist() -> None:
    for name in ("api", "worker", "worker-gpu"):
        build = SERVICES[name]["build"]
        path = ROOT / build["dockerfile"]
        assert path.is_file()
        for argument, value in build.get("args", {}).items():
            assert any(declared.startswith(f"{argument}=") for declared in Dockerfile.read(path).all("ARG"))
            assert value in PROJECT["optional-dependencies"]
            assert (ROOT / "requirements" / f"worker-{value}.lock").is_file()


def test_variables_are_settings() -> None:
    names = {name for service in SERVICES.values() for name in service.get("environment", {})}
    names |= {name for image in IMAGES for name in dockerfile(image).environment if name.startswith("RIDURRE_")}
    fields = {f"RIDURRE_{name.upper()}" for name in Settings.model_fields}
    assert names <= fields
    assert names == {"RIDURRE_REDIS_URL", "RIDURRE_DATA_DIRECTORY"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_closed_up(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["tmpfs"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid"} & set(service)


def test_only_the_api_has_a_way_out_and_it_listens_to_this_machine_only() -> None:
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert {name for name, service in SERVICES.items() if service["networks"] != ["inside"]} == {"api"}
    assert SERVICES["api"]["ports"] == ["127.0.0.1:8470:8470"]
    assert all("ports" not in service for name, service in SERVICES.items() if name != "api")


def test_api_and_workers_share_the_store() -> None:
    for name in ("api", "worker", "worker-gpu"):
        assert SERVICES[name]["volumes"] == ["store:/data"]
        assert SERVICES[name]["environment"]["RIDURRE_DATA_DIRECTORY"] == "/data"
    assert set(COMPOSE["volumes"]) == {"store", "redis"}


def test_redis_keeps_what_it_is_told() -> None:
    redis = SERVICES["redis"]
    assert re.fullmatch(r"redis:\d+\.\d+\.\d+-\w+", redis["image"])
    command = redis["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert "healthcheck" in redis


def test_the_api_image_has_no_tensorflow_and_all_that_it_imports() -> None:
    names = locked("requirements/api.lock")
    assert not {"tensorflow", "tensorflow-cpu", "keras", "scikit-learn", "numpy"} & names
    assert {"fastapi", "uvicorn", "celery", "redis", "pydantic", "pydantic-settings"} <= names
