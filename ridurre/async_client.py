"""The asynchronous client: the same methods as `Client`, to be awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import anyio
import httpx
from anyio.to_thread import run_sync
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
CHUNK_BYTES = 256 * 1024


class AsyncClient:
    """A conversation with one service; use it as an asynchronous context manager, or `aclose` it.

    Methods, arguments and errors are those of `Client`.
    """

    def __init__(self, url: str | None = None, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.url = base_url(url)
        self._http = httpx.AsyncClient(base_url=self.url, timeout=TIMEOUT, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def upload_model(self, path: str | Path) -> Uploaded:
        """Send a `.keras` or `.h5` file; the same bytes sent twice are one model."""
        return await self._run(conversations.upload("models", Path(path)))

    async def upload_dataset(self, path: str | Path) -> Uploaded:
        """Send an `.npz` file or a zip of images; the same bytes sent twice are one dataset."""
        return await self._run(conversations.upload("datasets", Path(path)))

    async def dataset(self, data: str | Path | None) -> Uploaded | str | None:
        """Return what `submit` takes: a file is uploaded; an id, a built-in dataset's name and `None` are kept."""
        return await self._run(outcome.dataset_of(data))

    async def submit(
        self,
        model: Uploaded | str,
        dataset: Uploaded | str | None = None,
        *,
        name: str | None = None,
        training: Mapping[str, Any] | None = None,
        **pruning: Unpack[PruningOptions],
    ) -> Job:
        """Queue a job."""
        return await self._run(conversations.submit(model, dataset, name, training, pruning))

    async def job(self, job_id: str) -> Job:
        """Return a job as it is now."""
        return await self._run(conversations.job(job_id))

    async def jobs(self, status: str | None = None, *, limit: int = 100) -> list[Job]:
        """Return at most `limit` jobs, newest first, of one status or of all."""
        return await self._run(conversations.jobs(status, limit))

    async def wait(
        self,
        job_id: str,
        *,
        timeout_seconds: float | None = None,
        on_event: OnEvent | None = None,
        outage_seconds: float = OUTAGE_SECONDS,
        on_outage: OnOutage | None = None,
    ) -> Job:
        """Return the job once it is finished, however it ended; see `Job.raise_unless_succeeded`."""
        longest = outage_seconds if timeout_seconds is None else min(outage_seconds, timeout_seconds)
        patience = Patience(job_id, longest, on_outage)
        return await self._run(conversations.wait(job_id, timeout_seconds, on_event, patience))

    async def events(
        self,
        job_id: str,
        *,
        after: str | None = None,
        outage_seconds: float = OUTAGE_SECONDS,
        on_outage: OnOutage | None = None,
    ) -> AsyncIterator[Event]:
        """Yield the job's events after a cursor, as they come, up to the terminal one."""
        reader = EventReader(job_id, after, Patience(job_id, outage_seconds, on_outage))
        while not reader.ended:
            if reader.polling:
                poll = conversations.poll_events(job_id, reader.cursor, LONG_POLL_SECONDS, reader.patience)
                events, _ = await self._run(poll)
                for event in events:
                    yield reader.seen(event)
                if not events and (await self.job(job_id)).finished:
                    return
                continue
            lost: ConnectionLoss | None = None
            try:
                async with self._stream(reader.call()) as response:
                    async for message in EventSource(response).aiter_sse():
                        if (accepted := reader.accept(message)) is not None:
                            yield accepted
            except (httpx.TransportError, SSEError, ServiceUnavailableError) as error:
                lost = error
            if not reader.ended:
                await anyio.sleep(reader.lost(self.url, lost))

    async def cancel(self, job_id: str) -> Job:
        """Ask for a job to be cancelled; it ends soon, not at once."""
        return await self._run(conversations.cancel(job_id))

    async def delete(self, job_id: str) -> None:
        """Remove a finished job with its events and artifacts."""
        await self._run(conversations.delete(job_id))

    async def artifacts(self, job_id: str) -> list[Artifact]:
        """Return what a job produced."""
        return await self._run(conversations.artifacts(job_id))

    async def download(self, job_id: str, name: str, path: str | Path) -> Path:
        """Fetch an artifact into a file or folder and return the file."""
        return await self._run(conversations.download(job_id, name, Path(path)))

    async def download_candidate(self, job_id: str, candidate: str, path: str | Path) -> Path:
        """Fetch the model of a candidate, given by its name in the report, into a file or folder."""
        return await self._run(conversations.download_candidate(job_id, candidate, Path(path)))

    async def download_candidates(self, job_id: str, folder: str | Path) -> list[Path]:
        """Fetch all candidates into a folder, made if it is not there: `NAME.keras` and `NAME.plan.json`."""
        return await self._run(conversations.download_candidates(job_id, Path(folder)))

    async def report(self, job_id: str) -> dict[str, Any]:
        """Return the contents of a job's `report.json`."""
        return await self._run(outcome.report_of(job_id))

    async def prune(
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
        """Upload, submit, wait and download in one call."""
        target = None if out is None else Path(out)
        return await self._run(
            outcome.prune(Path(model_path), data, target, name, training, pruning, on_event, on_outage)
        )

    async def _run(self, flow: Flow[T]) -> T:
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
                result = await self._take(step)
            except Exception as raised:  # noqa: BLE001 - the conversation decides what a failed step means
                error = raised

    async def _take(self, step: Call | Pause | Fetch) -> httpx.Response | None:
        if isinstance(step, Pause):
            await anyio.sleep(step.seconds)
            return None
        if isinstance(step, Fetch):
            await self._fetch(step.download)
            return None
        return await self._call(step)

    async def _call(self, call: Call) -> httpx.Response:
        arguments = request_arguments(call)
        if call.file is not None:
            arguments["content"] = _chunks(call.file)
        try:
            response = await self._http.send(self._http.build_request(**arguments))
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        raise_for_problem(response)
        return response

    @asynccontextmanager
    async def _stream(self, call: Call) -> AsyncIterator[httpx.Response]:
        response = await self._http.send(self._http.build_request(**request_arguments(call)), stream=True)
        try:
            if not response.is_success:
                await response.aread()
            raise_for_problem(response)
            yield response
        finally:
            await response.aclose()

    async def _fetch(self, download: Download) -> None:
        download.open()
        try:
            while not await self._receive(download):
                pass
            await run_sync(download.finish)
        finally:
            download.discard()

    async def _receive(self, download: Download) -> bool:
        try:
            async with self._stream(Call("GET", download.path, headers=download.headers())) as response:
                download.begin(response)
                async for chunk in response.aiter_bytes():
                    await run_sync(download.write, chunk)
        except httpx.TransportError as error:
            if not download.complete:
                await anyio.sleep(download.lost(error))
                return False
        return True


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        while chunk := await file.read(CHUNK_BYTES):
            yield chunk
