"""The live line that shows how far a job is."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn
from rich.text import Text

from ridurre.cli.literal import literal, literal_lines
from ridurre.errors import RidurreError
from ridurre.objects import Event
from ridurre.objects import Progress as JobProgress

MOST_BEFORE_THE_END = 0.99
"""The bar is full for a job that has succeeded and for no other."""


class ProgressDisplay:
    """A context manager that draws one line on a console; phases are left behind as lines where it is no terminal.

    Args:
        console: Where to draw.
        is_local: Whether the work is done inside the context, so that an error that leaves it is the end of the work.
    """

    def __init__(self, console: Console, *, is_local: bool = False) -> None:
        self._console = console
        self._is_local = is_local
        self._phase: tuple[str | None, int | None] = (None, None)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[metrics]}", markup=False),
            _Eta(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("queued", total=1.0, metrics="", eta_seconds=None)

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_local:
            self._show_status("succeeded" if kind is None else "interrupted" if kind is KeyboardInterrupt else "failed")
        self._progress.__exit__(kind, error, trace)

    def on_event(self, event: Event) -> None:
        """Show an event of a job on a service."""
        if event.kind == "progress":
            self.show(JobProgress.model_validate(event.data), event.data.get("metrics") or {})
        elif event.kind == "status":
            self._show_status(str(event.data.get("status")))

    def on_outage(self, outage: RidurreError) -> None:
        """Say, above the line, that the service is away."""
        self._console.print(literal_lines(outage, "yellow"), soft_wrap=True)

    def on_local_progress(self, progress: Any) -> None:
        """Show a `pruning.progress.Progress`."""
        self.show(JobProgress.model_validate(progress, from_attributes=True), progress.metrics)

    def show(self, progress: JobProgress, metrics: Mapping[str, Any]) -> None:
        """Show how far the job is."""
        self._progress.update(
            self._task,
            description=literal(describe(progress)).plain,
            completed=not_yet_all(progress.fraction or 0.0),
            metrics="  ".join(f"{literal(name)} {value:.4g}" for name, value in _for_a_line(metrics)),
            eta_seconds=progress.eta_seconds,
        )
        if (phase := (progress.phase, progress.iteration)) != self._phase:
            self._phase = phase
            self._line(describe(progress))

    def _show_status(self, status: str) -> None:
        """Show a status; the bar stays where it was unless all is done."""
        completed = 1.0 if status == "succeeded" else None
        self._progress.update(self._task, description=literal(status).plain, completed=completed, eta_seconds=None)
        self._line(status)

    def _line(self, text: str) -> None:
        if not self._console.is_terminal:
            self._console.print(literal(text), soft_wrap=True)


class _Eta(ProgressColumn):
    """The service's own estimate, for it knows the phases to come."""

    def render(self, task: Task) -> Text:
        seconds = task.fields["eta_seconds"]
        return Text("" if seconds is None else f"about {_spoken(seconds)} left", style="progress.remaining")


def _for_a_line(metrics: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return what has room beside the bar: the first figures, without sizes, which change once an iteration."""
    figures = [(name, value) for name, value in metrics.items() if value is not None]
    return [(name, value) for name, value in figures if name not in ("params", "macs")][:2]


def not_yet_all(fraction: float) -> float:
    """Return how far to say that work has come which may still fail."""
    return min(fraction, MOST_BEFORE_THE_END)


def describe(progress: JobProgress) -> str:
    """Return phase, iteration and epoch as one phrase."""
    parts = [progress.phase or "running"]
    if progress.iteration:
        parts.append(f"iteration {_of(progress.iteration, progress.num_iterations)}")
    if progress.epoch:
        parts.append(f"epoch {_of(progress.epoch, progress.num_epochs)}")
    return ", ".join(parts)


def _of(number: int, total: int | None) -> str:
    return str(number) if total is None else f"{number}/{total}"


def _spoken(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1.0, seconds):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
