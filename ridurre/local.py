"""Pruning and exporting here and now, in this process, through the `pruning` library."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from pruning.catalog import AUTO, CRITERIA
from pruning.spec import PruningSpec, TrainingSpec
from ridurre.errors import RidurreError
from ridurre.options import PruningOptions, given, plain, validated
from ridurre.target import check_model_target, check_new_folder

# What NumPy and zipfile raise over a file that is none, or holds a single array without a name.
UNREADABLE = (
    ValueError, OSError, EOFError, KeyError, TypeError, AttributeError, NotImplementedError, RuntimeError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip

if TYPE_CHECKING:
    from pruning.explanation import Explanation
    from pruning.export import ExportResult
    from pruning.foresight import Forecast
    from pruning.pipeline import PruningResult
    from pruning.progress import OnProgress


def prune(
    model: Any,
    data: Any = None,
    *,
    out: str | Path | None = None,
    training: Mapping[str, Any] | None = None,
    on_progress: OnProgress | None = None,
    candidates_directory: str | Path | None = None,
    checkpoint_directory: str | Path | None = None,
    **pruning_options: Unpack[PruningOptions],
) -> PruningResult:
    """Prune a model in this process; the arguments are those of `Client.prune`.

    Args:
        model: A Keras model, or the path of a `.keras` or `.h5` file. It is not changed.
        data: A tuple `(x, y)`, a dict of arrays, the path of an `.npz` file, or `None` to prune without
            training and evaluation.
        out: Where to save the pruned model, if anywhere; a name that ends in `.keras`.
        training: Fields of `TrainingSpec`, such as `{"fine_tuning_epochs": 2}`.
        on_progress: Called with a `pruning.progress.Progress` at least once a step and epoch.
        candidates_directory: Where to save every candidate, baselines too, if anywhere: `NAME.keras` and
            `NAME.plan.json`. It is made if it is not there.
        checkpoint_directory: Where the run keeps its state: the same call goes on there after an interruption.
        pruning_options: Fields of `PruningSpec`, such as `criterion="kmeans", target_params=0.36`.

    Returns:
        The result of `pruning.prune`: the pruned model, its plan and its report.

    Raises:
        pruning.PruningError: The library refuses, with the reason.
        RidurreError: An option is not what its spec allows, the file of data cannot be read, or `out` not written.
    """
    from pruning.delivery import save_candidates, save_model
    from pruning.load import load_model
    from pruning.pipeline import prune as prune_model

    target = None if out is None else check_model_target(Path(out))
    candidates = None if candidates_directory is None else check_new_folder(Path(candidates_directory))
    spec, training_spec = _specs(pruning_options, training)
    result = prune_model(
        load_model(Path(model)) if isinstance(model, str | Path) else model,
        spec,
        _arrays(Path(data)) if isinstance(data, str | Path) else data,
        training=training_spec,
        on_progress=on_progress,
        checkpoint_directory=checkpoint_directory,
    )
    if target is not None:
        save_model(result.model, target)
    if candidates is not None:
        save_candidates(result, candidates)
    return result


def plan(
    model: str | Path,
    data: str | Path | None = None,
    *,
    training: Mapping[str, Any] | None = None,
    is_timed: bool = True,
    on_progress: OnProgress | None = None,
    **pruning_options: Unpack[PruningOptions],
) -> Forecast:
    """Say what a prune of a model file would do, without training; the arguments are those of `prune`.

    Args:
        model: The path of a `.keras` or `.h5` file.
        data: The path of an `.npz` file; it is read only for a criterion or a scope that looks at data.
        training: Fields of `TrainingSpec`; those that are not valid are refused, and nothing is trained.
        is_timed: Whether to time the model and what would be left of it.
        on_progress: Called with a `pruning.progress.Progress` at each prune.
        pruning_options: Fields of `PruningSpec`.

    Raises:
        pruning.PruningError: The library would refuse the prune, with the reason.
        RidurreError: An option is not what its spec allows, or the file of data cannot be read.
    """
    from pruning.foresight import foresee
    from pruning.load import load_model

    spec, training_spec = _specs(pruning_options, training)
    if data is not None and Path(data).suffix != ".npz":
        spec = spec.resolved(has_data=True, has_targets=True)  # As of all that a service takes but for a few images.
    is_looked_at = spec.scope == "sensitivity" or any(
        each == AUTO or not isinstance(each, str) or CRITERIA[each].needs_data for each in spec.criteria
    )
    return foresee(
        load_model(Path(model)),
        spec,
        _arrays(Path(data)) if data is not None and is_looked_at else None,
        training=training_spec,
        is_timed=is_timed,
        on_progress=on_progress,
    )


def _specs(pruning_options: Mapping[str, Any], training: Mapping[str, Any] | None) -> tuple[PruningSpec, TrainingSpec]:
    """Return the specs with the options that are given."""
    options = given(pruning_options)
    # Here, and only here, the criterion may be a function or an object, and the schedule a function.
    own = {name: options.pop(name) for name in ("criterion", "schedule") if name in options}
    return (
        validated(PruningSpec, plain(options, "pruning") | own, "pruning"),
        validated(TrainingSpec, plain(given(training or {}), "training"), "training"),
    )


def explain(model: str | Path) -> Explanation:
    """Say what pruning could do with a model file, layer by layer; see `pruning.explain`."""
    from pruning.explanation import explain as explain_model
    from pruning.load import load_model

    return explain_model(load_model(Path(model)))


def export(
    model: str | Path, format: str, out: str | Path, *, precision: str = "float32", data: str | Path | None = None
) -> ExportResult:
    """Write a model file in another format and check that it computes the same there; see `pruning.export_model`.

    Args:
        model: The path of a `.keras` or `.h5` file.
        format: One of `pruning.catalog.EXPORT_FORMATS`.
        out: Where to write.
        precision: One of those that the format has.
        data: The path of an `.npz` file: `x_train`, and if its metrics are to be compared `y_train`.

    Raises:
        pruning.PruningError: The library refuses, with the reason.
        RidurreError: The file of data cannot be read.
    """
    from pruning.export import export_model
    from pruning.load import load_model

    arrays = {} if data is None else _arrays(Path(data))
    labelled = any(name.partition(".")[0] == "y_train" for name in arrays)
    return export_model(
        load_model(Path(model)),
        out,
        format,
        precision=precision,
        data=arrays if labelled else None,
        inputs=_inputs(arrays) if arrays and not labelled else None,
    )


def _inputs(arrays: Mapping[str, Any]) -> Any:
    """Return one array, or arrays by the name after `x_train.`."""
    named = {name.partition(".")[2]: array for name, array in arrays.items() if name.partition(".")[0] == "x_train"}
    if not named:
        raise RidurreError(
            "There are no inputs in the file of data.",
            field="data",
            received=", ".join(arrays) or "nothing",
            expected="x_train, or with several inputs x_train.<name>",
        )
    return named[""] if set(named) == {""} else named


def _arrays(path: Path) -> dict[str, Any]:
    """Read the arrays of an `.npz` file, without its pickles."""
    import numpy as np

    if path.suffix != ".npz" or not path.is_file():
        raise RidurreError(
            "That is not a dataset that can be pruned with in this process.",
            field="data",
            received=str(path),
            expected="the path of an .npz file",
            hint="Folders of images and built-in datasets work on a service.",
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except UNREADABLE as error:
        raise _unreadable(path, str(error) or type(error).__name__) from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise _unreadable(path, f"{name}, which is no array")
    return arrays


def _unreadable(path: Path, received: str) -> RidurreError:
    return RidurreError(
        f"The file {path} is not an .npz file that can be read.",
        field="data",
        received=received,
        expected="a file of numpy.savez(path, x_train=…, y_train=…) with arrays of numbers, without pickled objects",
    )
