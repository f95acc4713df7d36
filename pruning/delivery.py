"""Models on their way out: saved, and proven to be in their files."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import keras

from pruning.pipeline import PruningResult
from pruning.proof.verification import compare


def save_model(model: keras.Model, path: Path) -> None:
    """Save a model and prove that the file holds it.

    Raises:
        VerificationError: What is loaded from the file computes something else.
    """
    model.save(path)
    compare(model, keras.saving.load_model(path, compile=False)).require()


def save_candidates(
    result: PruningResult,
    folder: Path,
    names: Collection[str] | None = None,
    on_saved: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write candidates as `NAME.keras` and `NAME.plan.json`, each proven to be in its file.

    Args:
        result: What a prune gave.
        folder: Where to; made if it is not there.
        names: Which of `result.report.candidates`; `None`: all.
        on_saved: Called after each with how many are written, and of how many.

    Returns:
        The files of the models.

    Raises:
        KeyError: There is no candidate of a name.
        VerificationError: What is loaded from a file computes something else.
    """
    names = [each.name for each in result.report.candidates] if names is None else names
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in names:
        model, plan = result.candidate(name)
        paths.append(folder / f"{name}.keras")
        save_model(model, paths[-1])
        (folder / f"{name}.plan.json").write_text(plan.model_dump_json(indent=2), encoding="utf-8")
        if on_saved is not None:
            on_saved(len(paths), len(names))
    return paths
