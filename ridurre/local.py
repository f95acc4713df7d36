"""Pruning here and now, in this process, through the `pruning` library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ridurre.options import PruningOptions, given

if TYPE_CHECKING:
    from pruning.pipeline import PruningResult


def prune(
    model: Any,
    data: Any = None,
    *,
    out: str | Path | None = None,
    training: Mapping[str, Any] | None = None,
    on_progress: Callable[..., None] | None = None,
    **pruning_options: Unpack[PruningOptions],
) -> PruningResult:
    """Prune a model in this process; the arguments are those of `Client.prune`.

    Args:
        model: A Keras model, or the path of a `.keras` or `.h5` file. It is not changed.
        data: A tuple `(x, y)`, a dict of arrays, the path of an `.npz` file, or `None` to prune without
            training and evaluation.
        out: Where to save the pruned model, if anywhere.
        training: Fields of `TrainingSpec`, such as `{"fine_tuning_epochs": 2}`.
        on_progress: Called with each step of progress, as `pruning.prune` does.
        pruning_options: Fields of `PruningSpec`, such as `criterion="kmeans", target_params=0.36`.

    Returns:
        The result of `pruning.prune`: the pruned model, its plan and its report.

    Raises:
        pruning.PruningError: The library refuses, with the reason.
        pydantic.ValidationError: An option is not what its spec allows.
    """
    import pruning
    from pruning.spec import PruningSpec, TrainingSpec

    spec = PruningSpec.model_validate(given(pruning_options))
    training_options = given(training or {})
    if data is None:
        training_options.setdefault("fine_tuning_epochs", 0)
    if isinstance(model, str | Path):
        model = pruning.load_model(model)
    result = pruning.prune(
        model, spec, data, training=TrainingSpec.model_validate(training_options), on_progress=on_progress
    )
    if out is not None:
        result.model.save(out)
    return result
