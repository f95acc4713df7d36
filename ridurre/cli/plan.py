"""`ridurre plan`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from rich.table import Table
from typer import Option

from ridurre.cli.exits import errors_console, exit_codes
from ridurre.cli.grouped import with_options
from ridurre.cli.literal import literal, literal_lines
from ridurre.cli.options import Model, PruneOptions
from ridurre.cli.progress import ProgressDisplay
from ridurre.cli.quiet import load_keras
from ridurre.target import check_file_target

if TYPE_CHECKING:
    from pruning.measure import Latency
    from pruning.plan import PruningPlan


@with_options
def plan(
    model: Model,
    options: PruneOptions,
    out: Annotated[Path | None, Option(help="Path for the plan, as JSON.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print the plan as JSON, without timing.")] = False,
) -> None:
    """Show what `prune` with these options would do, without training. Needs no service.

    Data, an .npz file, is read only if the criterion needs it. A sweep shows all plans by name of the trial, and the
    layers of the smallest.
    """
    pruning, training = options.for_pruning(), options.for_training()
    load_keras()
    from ridurre.local import plan as plan_locally

    console = Console()
    with exit_codes():
        target = None if out is None else check_file_target(out)
        with ProgressDisplay(errors_console, is_local=True) as display:
            forecast = plan_locally(
                model,
                options.data,
                training=training,
                is_timed=not as_json,
                on_progress=display.on_local_progress,
                **pruning,
            )
        text = forecast.plan.model_dump_json(indent=2)
        if forecast.swept:
            text = json.dumps({name: plan.model_dump(mode="json") for name, plan in forecast.swept.items()}, indent=2)
        if target is not None:
            target.write_text(f"{text}\n", encoding="utf-8")
        if as_json:
            console.print(literal_lines(text), soft_wrap=True)
            return
        if forecast.swept:
            console.print(what_each_would_leave(forecast.swept))
        console.print(what_would_go(forecast.plan))
        lines = [f"Stops because {forecast.stopped_because}."] if forecast.stopped_because else []
        lines += [] if forecast.latency is None else [speed(forecast.latency)]
        lines += [f"Note: {note}" for note in forecast.notes]
        lines += [] if target is None else [f"Wrote {target}"]
        for line in lines:
            console.print(literal(line), soft_wrap=True)


def what_would_go(plan: PruningPlan) -> Table:
    """Return a table of the layers of a plan, before and after, with totals."""
    table = Table(title="Planned changes", title_justify="left", show_footer=True)
    totals = (("parameters", "params"), ("MACs per sample", "macs"))
    table.add_column("layer", "total", overflow="fold")
    table.add_column("channels", justify="right")
    for heading, field in totals:
        table.add_column(heading, _total(plan, field), justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for layer in plan.layers:
        cells = (_change(layer, field) for field in ("channels", "params", "macs"))
        table.add_row(literal(layer.path), *cells, literal(layer.why))
    return table


def what_each_would_leave(plans: Mapping[str, PruningPlan]) -> Table:
    """Return a table of several plans with their totals, the smallest first."""
    table = Table(title="Size of each trial", title_justify="left")
    table.add_column("")
    for heading in ("parameters", "MACs per sample"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, plan in sorted(plans.items(), key=lambda each: (each[1].macs_after or 0, each[1].params_after)):
        table.add_row(literal(name), _total(plan, "params"), _total(plan, "macs"))
    return table


def _change(row: Any, field: str) -> str:
    """Return a count before and after, once where it stays."""
    before, after = getattr(row, f"{field}_before"), getattr(row, f"{field}_after")
    if before is None or after is None:
        return "-"
    return f"{before:,}" if before == after else f"{before:,} → {after:,}"


def _total(plan: PruningPlan, field: str) -> str:
    before, after = getattr(plan, f"{field}_before"), getattr(plan, f"{field}_after")
    share = f" ({100 * after / before:.1f} %)" if before and after is not None else ""
    return _change(plan, field) + share


def speed(timed: Latency) -> str:
    """Return what was measured of both models, and whether their difference is more than noise."""
    assert timed.seconds_beside is not None
    assert timed.spread_beside is not None
    times_as_fast, noise = timed.seconds_beside / timed.seconds, timed.spread + timed.spread_beside
    how = f"{timed.runtime}, batch of {timed.batch_size}, {timed.num_calls} calls each"
    verdict = (
        "no difference beyond the spread" if abs(times_as_fast - 1) <= noise else f"{times_as_fast:.2f} times as fast"
    )
    original = _milliseconds(timed.seconds_beside, timed.spread_beside)
    pruned = _milliseconds(timed.seconds, timed.spread)
    return f"One call on this machine, timed in turns ({how}): original {original}, pruned {pruned}; {verdict}."


def _milliseconds(seconds: float, spread: float) -> str:
    return f"{1000 * seconds:.3g} ms ± {100 * spread:.0f} %"
