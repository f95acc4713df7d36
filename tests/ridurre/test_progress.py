"""The line that shows how far a job is: it is full for what has succeeded, and for nothing else."""

from __future__ import annotations

import contextlib
import io

import pytest
from rich.console import Console

from ridurre.cli.progress import ProgressDisplay
from ridurre.objects import Event, Progress
from tests.ridurre.fake_service import event_body

pytestmark = pytest.mark.fast


def console() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)


def shown(console: Console) -> str:
    """Return what the last drawing of the line left."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rsplit("\r", 1)[-1]


@pytest.mark.parametrize("status", ["failed", "cancelled", "succeeded"])
def test_only_a_job_that_succeeded_is_complete(status: str) -> None:
    screen = console()
    with ProgressDisplay(screen) as display:
        display.on_event(Event.model_validate(event_body(1, phase="saving", fraction=1.0, eta_seconds=1.0)))
        display.on_event(Event.model_validate(event_body(2, "status", status=status)))
    assert status in shown(screen)
    assert ("100%" in shown(screen)) == (status == "succeeded")
    assert "left" not in shown(screen)


def test_the_bar_of_a_job_that_failed_stays_where_it_was() -> None:
    screen = console()
    with ProgressDisplay(screen) as display:
        display.on_event(Event.model_validate(event_body(1, phase="pruning", fraction=0.4)))
        display.on_event(Event.model_validate(event_body(2, "status", status="failed")))
    assert " 40%" in shown(screen)


def stop(screen: Console, error: type[BaseException] | None, *, is_local: bool) -> None:
    """Show a moment of the work, then leave the display, with an error if there is one."""
    with contextlib.suppress(ValueError, KeyboardInterrupt), ProgressDisplay(screen, is_local=is_local) as display:
        display.show(Progress(phase="saving", fraction=1.0), {})
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("error", "word"), [(None, "succeeded"), (ValueError, "failed"), (KeyboardInterrupt, "interrupted")]
)
def test_work_in_this_process_ends_with_its_error(error: type[BaseException] | None, word: str) -> None:
    screen = console()
    stop(screen, error, is_local=True)
    assert word in shown(screen)
    assert ("100%" in shown(screen)) == (error is None)


def test_a_job_does_not_end_where_only_the_waiting_ends() -> None:
    screen = console()
    stop(screen, KeyboardInterrupt, is_local=False)
    assert "saving" in shown(screen)


def test_nothing_is_said_to_be_left_in_no_time() -> None:
    screen = console()
    with ProgressDisplay(screen) as display:
        display.show(Progress(phase="saving", fraction=0.9, eta_seconds=0.0), {})
    assert "about 1 s left" in shown(screen)
