"""The whole story in one call: upload, submit, wait, download."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

from ridurre.conversations.following import OnEvent, wait
from ridurre.conversations.jobs import submit
from ridurre.conversations.results import download, report
from ridurre.conversations.uploads import dataset, require_file, upload_model
from ridurre.errors import RidurreError
from ridurre.objects import Pruned
from ridurre.patience import OnOutage
from ridurre.pruning_options import PruningOptions
from ridurre.steps import Flow
from ridurre.target import check_model_target


def prune(
    model_path: str | Path,
    data: Path | str | None = None,
    *,
    out: str | Path | None = None,
    name: str | None = None,
    training: Mapping[str, Any] | None = None,
    on_event: OnEvent | None = None,
    on_outage: OnOutage | None = None,
    **pruning: Unpack[PruningOptions],
) -> Flow[Pruned]:
    """Upload, submit, wait and download in one call.

    Args:
        model_path: The model to prune.
        data: A file to upload, a dataset's id, the name of a built-in dataset, or `None`.
        out: Where the pruned model goes; default `<model>.pruned.keras` beside the model.
        name: A label.
        training: Fields of `TrainingSpec`.
        on_event: Called with each event.
        on_outage: Called once in each outage of more than a moment; by default a warning is logged.
        pruning: Fields of `PruningSpec`.

    Raises:
        JobFailedError: The job failed; the error says why.
    """
    model_path = Path(model_path)
    require_file("models", model_path)
    target = check_model_target(default_target(model_path) if out is None else Path(out))
    model = yield from upload_model(model_path)
    uploaded = yield from dataset(data)
    job = yield from submit(model, uploaded, name=name, training=training, **pruning)
    job = (yield from wait(job.id, on_event=on_event, on_outage=on_outage)).raise_unless_succeeded()
    with naming_the_job(job.id):
        path = yield from download(job.id, "pruned.keras", target)
        return Pruned(job=job, path=path, report=(yield from report(job.id)))


@contextmanager
def naming_the_job(job_id: str) -> Iterator[None]:
    """Make errors after a job say which it is, for its results are still on the service."""
    hint = f"Job {job_id} has succeeded. To get its results: ridurre download {job_id}"
    try:
        yield
    except RidurreError as error:
        error.hint = hint if error.hint is None else f"{error.hint} {hint}"
        raise
    except OSError as error:
        raise RidurreError(f"Cannot write the results: {error}.", hint=hint) from error


def default_target(model_path: Path) -> Path:
    """Return where a pruned model goes if nobody says: beside the original."""
    return model_path.with_name(f"{model_path.stem}.pruned.keras")
