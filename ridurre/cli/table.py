"""The before/after table, read from a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from pruning.figures import TEST, VALIDATION
from ridurre.cli.literal import literal


def before_after(report: Mapping[str, Any]) -> Table:
    """Return a table of the model before the first prune and of the delivered one, from `report.json`.

    A model that was trained first is compared as trained, not as it came.
    """
    before = [step for step in report["steps"] if step["step"] in ("initial", "training")][-1]
    after = report["steps"][-1]
    table = Table(title="Before pruning and after", title_justify="left", caption_justify="left")
    table.add_column("")
    for heading in ("before", "after", "change"):
        table.add_column(heading, justify="right")
    for label, key in (("parameters", "params"), ("MACs per sample", "macs"), ("file, bytes", "file_bytes")):
        table.add_row(label, _count(before.get(key)), _count(after.get(key)), _change(before.get(key), after.get(key)))
    _add_latency(table, report["steps"][0].get("latency") or {}, after.get("latency") or {})
    test = report.get("test") or {}
    metrics_before = {**(before.get("metrics") or {}), **test.get("before", {})}
    metrics_after = {**(after.get("metrics") or {}), **test.get("after", {})}
    for name in dict.fromkeys([*metrics_before, *metrics_after]):
        first, last = metrics_before.get(name), metrics_after.get(name)
        difference = "" if first is None or last is None else f"{last - first:+.4f}"
        table.add_row(literal(spoken(name)), _figure(first), _figure(last), difference)
    return table


def spoken(name: str) -> str:
    """Return the name of a figure for people: `val accuracy` for `val_accuracy`."""
    prefix = next((each for each in (VALIDATION, TEST) if name.startswith(each)), "")
    return f"{prefix.removesuffix('_')} {name.removeprefix(prefix)}" if prefix else name


def _add_latency(table: Table, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Add a row for each runtime in which both models were timed."""
    for runtime in [each for each in before if each in after]:
        first, last = before[runtime], after[runtime]
        table.add_row(literal(f"ms a call, {runtime}"), _milliseconds(first), _milliseconds(last), _longer(first, last))
        table.caption = f"ms a call: median (middle half), both models in turns, batch size {first['batch_size']}"


def _milliseconds(timed: Mapping[str, Any]) -> str:
    first, median, third = (
        f"{1000 * timed[f'{name}_seconds']:#.3g}".rstrip(".") for name in ("first_quartile", "median", "third_quartile")
    )
    return f"{median} ({first}-{third})"


def _longer(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return by how much a call is longer, or that this is within the spread: the middle halves overlap."""
    earlier, later = sorted((before, after), key=lambda timed: float(timed["median_seconds"]))
    if earlier["third_quartile_seconds"] >= later["first_quartile_seconds"]:
        return "within spread"
    return f"{100 * (after['median_seconds'] / before['median_seconds'] - 1):+.1f} %"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _change(before: int | None, after: int | None) -> str:
    return "" if not before or after is None else f"{100 * (after - before) / before:+.1f} %"
