"""Pruning and exporting here and now, in this process, through the `pruning` library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Unpack

from pydantic import BaseModel

from pruning.catalog import AUTO, CRITERIA
from pruning.spec import PruningSpec, TrainingSpec, checked, with_fields
from ridurre.options import Spec, given, plain, validated
from ridurre.pruning_options import PruningOptions
from ridurre.target import check_model_target, check_new_folder

if TYPE_CHECKING:
    from pruning.explanation import Explanation
    from pruning.export import ExportResult
    from pruning.foresight import Forecast
    from pruning.pipeline import PruningResult
    from pruning.progress import OnProgress


def prune(
    model: Any,
    data: Any = None,
    spec: PruningSpec | Mapping[str, Any] | None = None,
    *,
    out: str | Path | None = None,
    training: TrainingSpec | Mapping[str, Any] | None = None,
    on_progress: OnProgress | None = None,
    notes: tuple[str, ...] = (),
    candidates_directory: str | Path | None = None,
    checkpoint_directory: str | Path | None = None,
    is_timed: bool = True,
    **pruning_options: Unpack[PruningOptions],
) -> PruningResult:
    """Prune a model in this process, as `pruning.prune` does, from files and into files.

    By keyword the arguments are those of `pruning.prune`, and of `Client.prune` as far as that has them. Data comes
    before the spec, as it does there.

    Args:
        model: A Keras model, or the path of a `.keras` or `.h5` file. It is not changed.
        data: A tuple `(x, y)`, a dict of arrays, the path of an `.npz` file or of a zip or folder of images, the
            name `digits`, or `None` to prune without training and evaluation.
        out: Where to save the pruned model, if anywhere; a name that ends in `.keras`.
        spec: Fields of `PruningSpec`, or one; `pruning_options` go before them.
        training: Fields of `TrainingSpec`, such as `{"fine_tuning_epochs": 2}`, or one.
        on_progress: Called with a `pruning.progress.Progress` at least once a step and epoch.
        notes: Lines for the report about what was done to the model before.
        candidates_directory: Where to save every candidate, baselines too, if anywhere: `NAME.keras` and
            `NAME.plan.json`. It is made if it is not there.
        checkpoint_directory: Where the run keeps its state: the same call goes on there after an interruption.
        is_timed: Whether the report tells how long one call of the original and of the delivered model takes.
        pruning_options: Fields of `PruningSpec`, such as `criterion="kmeans", target_params=0.36`.

    Returns:
        The result of `pruning.prune`: the pruned model, its plan and its report.

    Raises:
        pruning.PruningError: As in `pruning.prune`. An option that its spec does not allow, or a path that cannot be
            written, is an `InvalidOptionError`, which is a `pruning.SpecError`.
    """
    from pruning.delivery import save_candidates, save_model
    from pruning.load import LoadedModel, load
    from pruning.pipeline import prune as prune_model

    target = None if out is None else check_model_target(Path(out))
    candidates = None if candidates_directory is None else check_new_folder(Path(candidates_directory))
    asked, training_spec = _specs(with_fields(spec, pruning_options), training)
    original = load(Path(model)) if isinstance(model, str | Path) else LoadedModel(model, ())
    with _loaded(data, original.model, training_spec) as arrays:
        result = prune_model(
            original.model,
            asked,
            arrays,
            training=training_spec,
            on_progress=on_progress,
            notes=(*original.notes, *notes),
            checkpoint_directory=checkpoint_directory,
            is_timed=is_timed,
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
        data: A path, or `digits`, as in `prune`; it is read only for a criterion or a scope that looks at data.
        training: Fields of `TrainingSpec`; those that are not valid are refused, and nothing is trained.
        is_timed: Whether to time the model and what would be left of it.
        on_progress: Called with a `pruning.progress.Progress` at each prune.
        pruning_options: Fields of `PruningSpec`.

    Raises:
        pruning.PruningError: The library would refuse the prune, with the reason.
        RidurreError: An option is not what its spec allows.
    """
    from pruning.foresight import foresee
    from pruning.load import load_model

    spec, training_spec = _specs(pruning_options, training)
    is_looked_at = spec.scope == "sensitivity" or any(
        each == AUTO or not isinstance(each, str) or CRITERIA[each].needs_data for each in spec.criteria
    )
    original = load_model(Path(model))
    with _loaded(data if is_looked_at else None, original, training_spec) as arrays:
        return foresee(original, spec, arrays, training=training_spec, is_timed=is_timed, on_progress=on_progress)


def _specs(
    pruning: PruningSpec | Mapping[str, Any], training: TrainingSpec | Mapping[str, Any] | None
) -> tuple[PruningSpec, TrainingSpec]:
    """Return the specs with the options that are given."""
    return _spec(PruningSpec, pruning, "pruning"), _spec(TrainingSpec, with_fields(training, {}), "training")


def _spec(kind: type[Spec], value: Any, field: str) -> Spec:
    if not isinstance(value, Mapping):
        return checked(kind, value, field)
    options = given(value)
    # Here, and only here, the criterion may be a function or an object, and the schedule a function.
    as_they_are = [
        name for name, each in options.items() if name in ("criterion", "schedule") or isinstance(each, BaseModel)
    ]
    own = {name: options.pop(name) for name in as_they_are}
    return validated(kind, plain(options, field) | own, field)


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
        data: A path, or `digits`, as in `prune`: inputs, and targets if metrics are to be compared.

    Raises:
        pruning.PruningError: The library refuses, with the reason.
    """
    from pruning.export import export_model
    from pruning.load import load_model

    original = load_model(Path(model))
    with _loaded(data, original, TrainingSpec()) as arrays:
        labelled = arrays if arrays is not None and arrays.is_labelled else None
        inputs = None if arrays is None or labelled else arrays.x_train
        return export_model(original, out, format, precision=precision, data=labelled, inputs=inputs)


@contextmanager
def _loaded(data: Any, model: Any, training: TrainingSpec | None) -> Iterator[Any]:
    """Give what a path or the name of a built-in set stands for, and anything else as it is."""
    if not isinstance(data, str | Path):
        yield data
        return
    from pruning.datasets.loading import load_dataset

    training = training or TrainingSpec()
    with TemporaryDirectory(prefix="ridurre-") as scratch:
        yield load_dataset(data, model, Path(scratch), max_train_samples=training.max_train_samples, seed=training.seed)
