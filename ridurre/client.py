"""The blocking client."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx
from httpx_sse import EventSource, SSEError

from ridurre import conversations, outcome
from ridurre.answers import raise_for_problem, unreachable
from ridurre.connection import TIMEOUT, base_url, request_arguments
from ridurre.conversations import LONG_POLL_SECONDS, OnEvent
from ridurre.download import Download
from ridurre.errors import ServiceUnavailableError
from ridurre.events import ConnectionLoss, EventReader
from ridurre.objects import Artifact, Event, Job, Uploaded
from ridurre.outcome import Pruned
from ridurre.patience import OUTAGE_SECONDS, OnOutage, Patience
from ridurre.pruning_options import PruningOptions
from ridurre.steps import Call, Fetch, Flow, Pause

T = TypeVar("T")


class Client:
    """A conversation with one service; use it as a context manager, or `close` it.

    Every method raises `ServiceUnreachableError` when nothing answers and a `ProblemError` when the service
    refuses.

    Args:
        url: Root of the service; default `RIDURRE_URL`, else `http://127.0.0.1:8470`.
        transport: How requests travel; for tests and unusual networks.
    """

    def __init__(self, url: str | None = None, *, transport: httpx.BaseTransport | None = None) -> None:
        self.url = base_url(url)
        self._http = httpx.Client(base_url=self.url, timeout=TIMEOUT, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def upload_model(self, path: str | Path) -> Uploaded:
        """Send a `.keras` or `.h5` file; the same bytes sent twice are one model."""
        return self._run(conversations.upload("models", Path(path)))

    def upload_dataset(self, path: str | Path) -> Uploaded:
        """Send an `.npz` file or a zip of images; the same bytes sent twice are one dataset."""
        return self._run(conversations.upload("datasets", Path(path)))

    def dataset(self, data: str | Path | None) -> Uploaded | str | None:
        """Return what `submit` takes: a file is uploaded; an id, a built-in dataset's name and `None` are kept."""
        return self._run(outcome.dataset_of(data))

    def submit(
        self,
        model: Uploaded | str,
        dataset: Uploaded | str | None = None,
        *,
        name: str | None = None,
        training: Mapping[str, Any] | None = None,
        **pruning: Unpack[PruningOptions],
    ) -> Job:
        """Queue a job.

        Args:
            model: What `upload_model` returned, or an id.
            dataset: What `upload_dataset` returned, an id, or the name of a built-in dataset.
            name: A label.
            training: Fields of `TrainingSpec`, such as `{"fine_tuning_epochs": 2}`.
            pruning: Fields of `PruningSpec`, such as `criterion="kmeans", target_params=0.36`.
        """
        return self._run(conversations.submit(model, dataset, name, training, pruning))

    def job(self, job_id: str) -> Job:
        """Return a job as it is now."""
        return self._run(conversations.job(job_id))

    def jobs(self, status: str | None = None, *, limit: int = 100) -> list[Job]:
        """Return at most `limit` jobs, newest first, of one status or of all."""
        return self._run(conversations.jobs(status, limit))

    def wait(
        self,
        job_id: str,
        *,
        timeout_seconds: float | None = None,
        on_event: OnEvent | None = None,
        outage_seconds: float = OUTAGE_SECONDS,
        on_outage: OnOutage | None = None,
    ) -> Job:
        """Return the job once it is finished, however it ended; see `Job.raise_unless_succeeded`.

        Args:
            job_id: Which job.
            timeout_seconds: How long to wait at most.
            on_event: Called with each event.
            outage_seconds: How long to bear a service that does not answer, meanwhile.
            on_outage: Called once in each outage of more than a moment; by default a warning is logged.

        Raises:
            WaitTimeoutError: It is not finished after `timeout_seconds`.
        """
        longest = outage_seconds if timeout_seconds is None else min(outage_seconds, timeout_seconds)
        patience = Patience(job_id, longest, on_outage)
        return self._run(conversations.wait(job_id, timeout_seconds, on_event, patience))

    def events(
        self,
        job_id: str,
        *,
        after: str | None = None,
        outage_seconds: float = OUTAGE_SECONDS,
        on_outage: OnOutage | None = None,
    ) -> Iterator[Event]:
        """Yield the job's events after a cursor, as they come, up to the terminal one."""
        reader = EventReader(job_id, after, Patience(job_id, outage_seconds, on_outage))
        while not reader.ended:
            if reader.polling:
                poll = conversations.poll_events(job_id, reader.cursor, LONG_POLL_SECONDS, reader.patience)
                events, _ = self._run(poll)
                yield from map(reader.seen, events)
                if not events and self.job(job_id).finished:
                    return
                continue
            lost: ConnectionLoss | None = None
            try:
                with self._stream(reader.call()) as response:
                    for message in EventSource(response).iter_sse():
                        if (event := reader.accept(message)) is not None:
                            yield event
            except (httpx.TransportError, SSEError, ServiceUnavailableError) as error:
                lost = error
            if not reader.ended:
                time.sleep(reader.lost(self.url, lost))

    def cancel(self, job_id: str) -> Job:
        """Ask for a job to be cancelled; it ends soon, not at once."""
        return self._run(conversations.cancel(job_id))

    def delete(self, job_id: str) -> None:
        """Remove a finished job with its events and artifacts."""
        self._run(conversations.delete(job_id))

    def artifacts(self, job_id: str) -> list[Artifact]:
        """Return what a job produced."""
        return self._run(conversations.artifacts(job_id))

    def download(self, job_id: str, name: str, path: str | Path) -> Path:
        """Fetch an artifact into a file or folder and return the file.

        Raises:
            DigestMismatchError: The bytes are not those announced; the target is as it was.
        """
        return self._run(conversations.download(job_id, name, Path(path)))

    def download_candidate(self, job_id: str, candidate: str, path: str | Path) -> Path:
        """Fetch the model of a candidate into a file or folder and return the file.

        Args:
            job_id: Which job.
            candidate: Its name in `report["candidates"]`, as `Job.candidates` lists them.
            path: Where to.

        Raises:
            RidurreError: The job has no file of such a candidate.
        """
        return self._run(conversations.download_candidate(job_id, candidate, Path(path)))

    def download_candidates(self, job_id: str, folder: str | Path) -> list[Path]:
        """Fetch all candidates into a folder, made if it is not there: `NAME.keras` and `NAME.plan.json`."""
        return self._run(conversations.download_candidates(job_id, Path(folder)))

    def report(self, job_id: str) -> dict[str, Any]:
        """Return the contents of a job's `report.json`."""
        return self._run(outcome.report_of(job_id))

    def prune(
        self,
        model_path: str | Path,
        data: Path | str | None = None,
        *,
        out: str | Path | None = None,
        name: str | None = None,
        training: Mapping[str, Any] | None = None,
        on_event: OnEvent | None = None,
        on_outage: OnOutage | None = None,
        **pruning: Unpack[PruningOptions],
    ) -> Pruned:
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
        target = None if out is None else Path(out)
        return self._run(outcome.prune(Path(model_path), data, target, name, training, pruning, on_event, on_outage))

    def _run(self, flow: Flow[T]) -> T:
        result: httpx.Response | None = None
        error: Exception | None = None
        while True:
            try:
                step = flow.send(result) if error is None else flow.throw(error)
            except StopIteration as end:
                value: T = end.value
                return value
            result = error = None
            try:
                result = self._take(step)
            except Exception as raised:  # noqa: BLE001 - the conversation decides what a failed step means
                error = raised

    def _take(self, step: Call | Pause | Fetch) -> httpx.Response | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        if isinstance(step, Fetch):
            self._fetch(step.download)
            return None
        return self._call(step)

    def _call(self, call: Call) -> httpx.Response:
        arguments = request_arguments(call)
        with ExitStack() as stack:
            if call.file is not None:
                arguments["content"] = stack.enter_context(call.file.open("rb"))
            try:
                response = self._http.send(self._http.build_request(**arguments))
            except httpx.TransportError as error:
                raise unreachable(self.url, error) from error
        raise_for_problem(response)
        return response

    @contextmanager
    def _stream(self, call: Call) -> Iterator[httpx.Response]:
        response = self._http.send(self._http.build_request(**request_arguments(call)), stream=True)
        try:
            if not response.is_success:
                response.read()
            raise_for_problem(response)
            yield response
        finally:
            response.close()

    def _fetch(self, download: Download) -> None:
        download.open()
        try:
            while not self._receive(download):
                pass
            download.finish()
        finally:
            download.discard()

    def _receive(self, download: Download) -> bool:
        try:
            with self._stream(Call("GET", download.path, headers=download.headers())) as response:
                download.begin(response)
                for chunk in response.iter_bytes():
                    download.write(chunk)
        except httpx.TransportError as error:
            if not download.complete:
                time.sleep(download.lost(error))
                return False
        return True
