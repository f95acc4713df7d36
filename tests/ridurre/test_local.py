"""Pruning in this process, with the arguments of the client."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import ridurre
from pruning.errors import PruningError
from pruning.plan import PruningPlan
from ridurre.errors import RidurreError

pytestmark = pytest.mark.e2e


@pytest.fixture
def model() -> Any:
    import keras

    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, "relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, "softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture
def model_path(model: Any, tmp_path: Path) -> Path:
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


@pytest.fixture
def data_path(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    path = tmp_path / "data.npz"
    np.savez(path, x_train=generator.normal(size=(40, 4)).astype("float32"), y_train=generator.integers(0, 3, 40))
    return path


def test_a_model_without_data(model: Any) -> None:
    result = ridurre.prune(model, criterion="l1_norm", ratio=0.5)
    assert model.count_params() == 4 * 8 + 8 + 8 * 3 + 3
    assert result.model.count_params() == 4 * 4 + 4 + 4 * 3 + 3
    assert [step.step for step in result.report.steps] == ["initial", "pruning"]


def test_paths_in_and_out(model_path: Path, data_path: Path, tmp_path: Path) -> None:
    import keras

    phases: list[str] = []
    result = ridurre.prune(
        model_path,
        data_path,
        out=tmp_path / "small.keras",
        training={"fine_tuning_epochs": 1},
        on_progress=lambda progress: phases.append(progress.phase),
        ratio=0.25,
        num_iterations=2,
    )
    assert keras.models.load_model(tmp_path / "small.keras").count_params() == result.report.after.params
    assert "val_accuracy" in result.report.after.metrics
    assert {"pruning", "fine-tuning", "saving"} <= set(phases)


def test_the_command_without_a_service(model_path: Path, data_path: Path, tmp_path: Path) -> None:
    from ridurre.cli import app

    arguments = ["prune", str(model_path), "--data", str(data_path), "--ratio", "0.5", "--local"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    for text in ("Before pruning and after", "val accuracy", "val loss", "ms a call, keras"):
        assert text in result.output
    assert (tmp_path / "model.pruned.keras").is_file()
    missing = CliRunner().invoke(app, [*arguments[:3], "digits", *arguments[4:]])
    assert missing.exit_code == 2
    assert "samples of shape (8, 8, 1)" in missing.output


def test_explain_tells_what_is_coupled(model_path: Path) -> None:
    from ridurre.cli import app

    text, as_json = (CliRunner().invoke(app, ["explain", str(model_path), *more]) for more in ([], ["--json"]))
    assert text.exit_code == as_json.exit_code == 0
    assert "is an output of the model" in text.output
    assert "of the parameters in kernels can be pruned." in text.output
    assert json.loads(as_json.output)["layers"]


def test_plan_says_what_prune_does_and_trains_nothing(
    model_path: Path, data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ridurre.cli import app

    monkeypatch.setenv("COLUMNS", "200")
    options = ["--ratio", "0.3", "--iterations", "2", "--fine-tuning-epochs", "3"]
    before, out = model_path.read_bytes(), tmp_path / "plan.json"
    told = CliRunner().invoke(app, ["plan", str(model_path), "--data", "digits", *options, "--out", str(out)])
    assert told.exit_code == 0, told.output
    pruned = ridurre.prune(model_path, criterion="coupled_norm", ratio=0.3, num_iterations=2)
    assert PruningPlan.model_validate_json(out.read_text()) == pruned.plan
    for text in ("8 → 4", "67 → 35", "56 → 28", "is an output of the model", "original", "ms ±", f"Wrote {out}"):
        assert text in told.stdout
    assert model_path.read_bytes() == before
    assert "epoch" not in told.output
    as_json = CliRunner().invoke(app, ["plan", str(model_path), *options, "--json"])
    without = ridurre.prune(model_path, ratio=0.3, num_iterations=2)
    assert PruningPlan.model_validate_json(as_json.stdout) == without.plan
    looks_at_data = ["plan", str(model_path), *options, "--criterion", "taylor", "--json"]
    assert "looks at data" in CliRunner().invoke(app, looks_at_data).output
    assert CliRunner().invoke(app, [*looks_at_data, "--data", str(data_path)]).exit_code == 0


def test_a_search_is_not_planned_and_a_sweep_trial_by_trial(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ridurre.cli import app

    monkeypatch.setenv("COLUMNS", "200")
    search = CliRunner().invoke(app, ["plan", str(model_path), "--max-metric-drop", "0.01"])
    assert search.exit_code == 2
    assert "only training tells" in search.output
    sweep = ["plan", str(model_path), "--sweep-criteria", "l1_norm,random", "--sweep-sizes", "0.6,0.4"]
    told = CliRunner().invoke(app, [*sweep, "--out", str(tmp_path / "plans.json")])
    assert told.exit_code == 0, told.output
    plans = json.loads((tmp_path / "plans.json").read_text())
    assert set(plans) == {"l1_norm-0.6", "l1_norm-0.4", "random-0.6", "random-0.4"}
    for name, plan in plans.items():
        assert name in told.output
        own = PruningPlan.model_validate(plan)
        assert own.macs_after is not None
        assert own.macs_before is not None
        assert own.macs_after <= float(name.rsplit("-")[-1]) * own.macs_before


def test_a_missed_goal_is_4_and_every_candidate_a_file(model_path: Path, data_path: Path, tmp_path: Path) -> None:
    import keras

    from ridurre.cli import app

    arguments = ["prune", str(model_path), "--data", str(data_path), "--local", "--candidates", str(tmp_path / "all")]
    limits = ["--ratio", "0.2", "--iterations", "2", "--target-params", "0.2", "--fine-tuning-epochs", "0"]
    result = CliRunner().invoke(app, [*arguments, *limits])
    assert result.exit_code == 4, result.output
    assert "target_params 0.2 missed" in result.output
    delivered = keras.models.load_model(tmp_path / "model.pruned.keras").count_params()
    sizes = {path.name: keras.models.load_model(path).count_params() for path in (tmp_path / "all").glob("*.keras")}
    assert set(sizes) == {"iteration-1.keras", "iteration-2.keras"}
    assert delivered == sizes["iteration-2.keras"] < sizes["iteration-1.keras"]
    plan = PruningPlan.model_validate_json((tmp_path / "all" / "iteration-1.plan.json").read_text())
    assert plan.params_after == sizes["iteration-1.keras"]


def test_the_same_command_goes_on_where_it_was_interrupted(
    model_path: Path, data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pruning.run.checkpoints import Checkpoints
    from ridurre.cli import app

    write, count = Checkpoints.write, [0]

    def interrupted(self: Checkpoints, *arguments: Any) -> None:
        write(self, *arguments)
        count[0] += 1
        if count[0] == 6:
            raise KeyboardInterrupt

    arguments = ["prune", str(model_path), "--data", str(data_path), "--ratio", "0.2", "--iterations", "3", "--local"]
    arguments += ["--fine-tuning-epochs", "1", "--resume", str(tmp_path / "state")]
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "write", interrupted)
        assert CliRunner().invoke(app, arguments).exit_code == 130
    assert not (tmp_path / "model.pruned.keras").exists()
    resumed = CliRunner().invoke(app, arguments)
    assert resumed.exit_code == 0, resumed.output
    assert "iteration 1" not in resumed.output
    assert "iteration 3" in resumed.output
    other = CliRunner().invoke(app, [*arguments, "--seed", "9"])
    assert "checkpoints of another run" in other.output
    assert other.exit_code == 2


def test_the_command_exports(model_path: Path, data_path: Path, tmp_path: Path) -> None:
    from ridurre.cli import app

    pytest.importorskip("onnxruntime")
    out = tmp_path / "model.onnx"
    result = CliRunner().invoke(app, ["export", str(model_path), "onnx", str(out), "--data", str(data_path)])
    assert result.exit_code == 0, result.output
    for text in ("accuracy", "loss", f"{out.stat().st_size:,} bytes"):
        assert text in result.output
    np.savez(tmp_path / "unlabelled.npz", x_train=np.ones((4, 4), "float32"))
    arguments = ["export", str(model_path), "keras", str(tmp_path / "again.keras")]
    result = CliRunner().invoke(app, [*arguments, "--data", str(tmp_path / "unlabelled.npz")])
    assert result.exit_code == 0, result.output
    assert "accuracy" not in result.output
    np.savez(tmp_path / "other.npz", images=np.ones((4, 4), "float32"))
    assert CliRunner().invoke(app, [*arguments, "--data", str(tmp_path / "other.npz")]).exit_code == 2
    assert CliRunner().invoke(app, [*arguments, "--precision", "int8"]).exit_code == 2


def test_what_cannot_be_meant(model: Any, tmp_path: Path) -> None:
    with pytest.raises(RidurreError, match="less than 1"):
        ridurre.prune(model, ratio=1.5)
    with pytest.raises(RidurreError, match=r"training\.learning_rate"):
        ridurre.prune(model, ratio=0.5, training={"learning_rate": float("inf")})
    with pytest.raises(PruningError, match=r"\.npz"):
        ridurre.prune(model, tmp_path / "absent.npz", ratio=0.5)


def test_a_number_of_numpy_is_a_number(model: Any) -> None:
    assert ridurre.prune(model, ratio=np.float32(0.5)).model.count_params() == 4 * 4 + 4 + 4 * 3 + 3


def test_an_own_criterion(model: Any) -> None:
    def score(weights: np.ndarray) -> np.ndarray:
        assert weights.ndim == 2
        importance: np.ndarray = np.abs(weights).max(axis=1)
        return importance

    def fail(weights: np.ndarray) -> np.ndarray:
        raise KeyError("oops")

    assert ridurre.prune(model, ratio=0.5, criterion=score).model.count_params() == 4 * 4 + 4 + 4 * 3 + 3
    with pytest.raises(PruningError, match="oops"):
        ridurre.prune(model, ratio=0.5, criterion=fail)


def bad_files(folder: Path) -> list[Path]:
    """Write files that are called .npz and hold no arrays that can be used."""
    good = folder / "good.npz"
    np.savez_compressed(good, x_train=np.zeros((40, 4)), y_train=np.zeros(40))
    contents = {"text": b"hello", "empty": b"", "truncated": good.read_bytes()[:200]}
    contents["garbled"] = good.read_bytes()[:60] + bytes(20) + good.read_bytes()[80:]
    for name, content in contents.items():
        (folder / f"{name}.npz").write_bytes(content)
    np.savez(folder / "pickled.npz", x_train=np.array([{}, {}], dtype=object), y_train=np.zeros(2))
    with (folder / "single.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with zipfile.ZipFile(folder / "other.npz", "w") as archive:
        archive.writestr("hello.txt", "hello")
    return [folder / f"{name}.npz" for name in (*contents, "pickled", "single", "other")]


def test_bad_files_are_2(model_path: Path, tmp_path: Path) -> None:
    from ridurre.cli import app

    for path in bad_files(tmp_path):
        with pytest.raises((RidurreError, PruningError)) as caught:
            ridurre.prune(model_path, path, ratio=0.5)
        assert caught.value.received
        assert caught.value.expected
        result = CliRunner().invoke(app, ["prune", str(model_path), "--data", str(path), "--ratio", "0.5", "--local"])
        assert result.exit_code == 2, (path.name, result.output, result.exception)


@pytest.mark.parametrize(
    "options",
    [
        ("--ratio", "nan"),
        ("--ratio", "inf"),
        ("--ratio", "2"),
        ("--ratio", "0.5", "--include", "("),
        ("--ratio", "0.5", "--include", "nothing"),
        ("--ratio", "0.5", "--schedule", "never"),
        ("--ratio", "0.5", "--learning-rate", "inf"),
        ("--ratio", "0.5", "--training", '{"epochs": "many"}'),
    ],
)
def test_bad_options_are_2(model_path: Path, options: tuple[str, ...]) -> None:
    from ridurre.cli import app

    result = CliRunner().invoke(app, ["prune", str(model_path), *options, "--local"])
    assert result.exit_code == 2, (result.output, result.exception)
    assert "eceived: " in result.output
    assert "xpected: " in result.output
