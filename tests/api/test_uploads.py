from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.errors import StoreUnavailableError
from tests.api.conftest import MAX_UPLOAD_BYTES, Service, assert_problem
from tests.uploads import HDF5, digits_npz, image_folder, keras_file, layer, npy, npz_file

pytestmark = pytest.mark.fast


def incoming(service: Service) -> list[Path]:
    """Return what unfinished uploads left on the disk."""
    return list((service.data_directory / "artifacts" / "incoming").iterdir())


def test_a_model_is_stored_once(service: Service) -> None:
    first = service.client.post("/v1/models?filename=small.keras", content=keras_file())
    again = service.client.post("/v1/models?filename=other.keras", content=keras_file())
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    model = first.json()
    assert model["id"] == "mdl_" + model["sha256"][:24]
    assert model["layers"] == ["stem", "block/conv1", "block/conv2", "head"]
    assert (model["filename"], model["format"], model["size_bytes"]) == ("small.keras", "keras", len(keras_file()))
    assert first.headers["location"] == f"/v1/models/{model['id']}"
    assert service.client.get(first.headers["location"]).json() == model
    assert service.client.get("/v1/models").json() == {"items": [model], "next_cursor": None}
    assert service.artifacts.path("models", model["sha256"]).read_bytes() == keras_file()


def test_hdf5_is_taken_for_what_it_is(service: Service) -> None:
    model = service.client.post("/v1/models?filename=old.keras", content=HDF5).json()
    assert (model["format"], model["layers"]) == ("h5", None)


def test_datasets_describe_themselves(service: Service) -> None:
    arrays = service.client.post("/v1/datasets?filename=a.npz", content=digits_npz()).json()
    assert arrays["format"] == "npz"
    assert arrays["arrays"][0] == {"name": "x_train", "dtype": "float32", "shape": [4, 8, 8, 1]}
    images = service.client.post("/v1/datasets?filename=b.zip", content=image_folder("train/a/1.png", "train/b/1.png"))
    assert images.json()["format"] == "image_folder"
    assert images.json()["classes"][0] == {"name": "a", "num_train": 1, "num_validation": None}
    assert len(service.client.get("/v1/datasets").json()["items"]) == 2


@pytest.mark.parametrize("filename", ["../../etc/passwd", "C:\\models\\passwd", "pass\x00wd\r\n"])
def test_a_filename_is_only_a_label(service: Service, filename: str) -> None:
    response = service.client.post("/v1/models", params={"filename": filename}, content=keras_file())
    assert response.json()["filename"] == "passwd"


def test_a_filename_is_required(service: Service) -> None:
    assert assert_problem(service.client.post("/v1/models", content=b"x"), 422, "invalid-spec")["field"] == "filename"


@pytest.mark.parametrize(
    ("path", "content", "status", "code"),
    [
        ("models", b"hello", 415, "unsupported-file"),
        ("models", b"", 415, "unsupported-file"),
        ("models", keras_file()[:-50], 422, "unusable-model"),
        ("models", digits_npz(), 422, "unusable-model"),
        ("datasets", b"hello", 415, "unsupported-file"),
        ("datasets", digits_npz()[:-50], 422, "unusable-dataset"),
        ("datasets", keras_file(), 422, "unusable-dataset"),
        ("datasets", npz_file(images=npy((4, 2)), labels=npy((4,))), 422, "unusable-dataset"),
        ("datasets", npz_file(x_train=npy((4, 2)), y_train=npy((3,))), 422, "unusable-dataset"),
        ("datasets", npz_file(x_train=npy((0, 2)), y_train=npy((0,))), 422, "unusable-dataset"),
    ],
)
def test_unusable_files_are_refused(service: Service, path: str, content: bytes, status: int, code: str) -> None:
    problem = assert_problem(service.client.post(f"/v1/{path}?filename=x", content=content), status, code)
    assert problem["field"]
    assert problem["expected"]
    assert service.client.get(f"/v1/{path}").json()["items"] == []
    assert incoming(service) == []


def test_a_layer_name_that_is_no_unicode_leaves_nothing(service: Service) -> None:
    config = {"class_name": "Sequential", "config": {"name": "m", "layers": [layer("Dense", "\ud800")]}}
    response = service.client.post("/v1/models?filename=x", content=keras_file(config))
    assert_problem(response, 422, "unusable-model")
    assert incoming(service) == []
    assert not list((service.data_directory / "artifacts").glob("models/*"))


def test_an_upload_without_a_store_leaves_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreUnavailableError("Redis is unreachable")

    for name in ("ping", "add_input"):
        monkeypatch.setattr(service.store, name, fail)
    assert_problem(service.client.post("/v1/models?filename=x", content=keras_file()), 503, "service-unavailable")
    assert incoming(service) == []
    assert not list((service.data_directory / "artifacts").glob("models/*"))


def test_a_declared_length_over_the_limit_is_refused(service: Service) -> None:
    response = service.client.post("/v1/models?filename=x", content=bytes(MAX_UPLOAD_BYTES + 1))
    problem = assert_problem(response, 413, "upload-too-large")
    assert problem["expected"] == f"at most {MAX_UPLOAD_BYTES} bytes"


def test_an_undeclared_length_over_the_limit_is_refused(service: Service) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(MAX_UPLOAD_BYTES // 1000 + 2):
            yield bytes(1000)

    response = service.client.post("/v1/datasets?filename=x", content=chunks())
    assert_problem(response, 413, "upload-too-large")
    assert incoming(service) == []


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_unknown_uploads_are_not_found(service: Service, kind: str) -> None:
    for method in ("GET", "DELETE"):
        assert_problem(service.client.request(method, f"/v1/{kind}/mdl_nothing"), 404, "not-found")


def test_an_upload_is_deleted_with_its_bytes(service: Service) -> None:
    model = service.client.post("/v1/models?filename=small.keras", content=keras_file()).json()
    assert service.client.delete(f"/v1/models/{model['id']}").status_code == 204
    assert_problem(service.client.get(f"/v1/models/{model['id']}"), 404, "not-found")
    assert list((service.data_directory / "artifacts" / "models").iterdir()) == []
    assert service.client.post("/v1/models?filename=small.keras", content=keras_file()).status_code == 201


def test_an_upload_is_kept_while_a_job_needs_it(service: Service) -> None:
    dataset = service.upload_dataset()
    job = service.submit(dataset=dataset)
    model = service.client.get(f"/v1/jobs/{job}").json()["spec"]["model"]
    for path in (f"/v1/models/{model}", f"/v1/datasets/{dataset}"):
        problem = assert_problem(service.client.delete(path), 409, "conflict")
        assert job in problem["detail"]
        assert problem["field"] in ("model_id", "dataset_id")
    service.client.post(f"/v1/jobs/{job}/cancel")
    for path in (f"/v1/models/{model}", f"/v1/datasets/{dataset}"):
        assert service.client.delete(path).status_code == 204
