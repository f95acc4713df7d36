import subprocess
import sys
from typing import Any

import pytest

from jobs.errors import StoreUnavailableError
from pruning.catalog import AUTO, CRITERIA
from tests.api.conftest import Service, assert_problem

pytestmark = pytest.mark.fast


def test_importing_the_api_loads_nothing_heavy() -> None:
    heavy = ["keras", "tensorflow", "numpy", "sklearn", "celery"]
    code = f"import sys, api.app; sys.stdout.write(' '.join(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_criteria_come_from_the_catalog(service: Service) -> None:
    items = service.client.get("/v1/criteria").json()["items"]
    assert [item["name"] for item in items] == list(CRITERIA)
    assert set(items[0]) == {"name", "summary", "source", "needs_data", "ranks"}


def test_health(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise StoreUnavailableError("Redis is unreachable")

    assert service.client.get("/readyz").json() == {"status": "ok"}
    monkeypatch.setattr(service.store, "ping", fail)
    response = service.client.get("/readyz")
    assert_problem(response, 503, "service-unavailable")
    assert response.headers["retry-after"]
    assert service.client.get("/healthz").json() == {"status": "ok"}


def test_health_has_a_head(service: Service) -> None:
    for path in ("/healthz", "/readyz"):
        assert (service.client.head(path).status_code, service.client.head(path).content) == (200, b"")


def test_unknown_paths_and_methods_are_problems(service: Service) -> None:
    assert assert_problem(service.client.get("/v2/jobs"), 404, "not-found")["received"] == "/v2/jobs"
    response = service.client.put("/v1/jobs")
    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"]


def test_what_nobody_expected_shows_no_internals(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("password: swordfish")

    monkeypatch.setattr(service.store, "list_jobs", fail)
    response = service.client.get("/v1/jobs")
    assert_problem(response, 500, "internal-error")
    assert "swordfish" not in response.text


def test_the_description_is_complete(service: Service) -> None:
    description: dict[str, Any] = service.client.get("/openapi.json").json()
    assert "Problem" in description["components"]["schemas"]
    criterion = description["components"]["schemas"]["PruningSpec"]["properties"]["criterion"]
    assert criterion["enum"] == [AUTO, *CRITERIA]
    operations = [
        operation for path in description["paths"].values() for operation in path.values() if "responses" in operation
    ]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["tags"]
        assert operation["summary"]
        assert "HTTPValidationError" not in str(operation)


def test_descriptions_refer_only_to_what_is_there(service: Service) -> None:
    description: dict[str, Any] = service.client.get("/openapi.json").json()

    def references(node: Any) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*map(references, node.values()))
        return set().union(*map(references, node)) if isinstance(node, list) else set()

    for reference in references(description):
        assert reference.rsplit("/", 1)[-1] in description["components"]["schemas"], reference
