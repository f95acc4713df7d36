"""The before/after table, read from a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from ridurre.cli.literal import literal


def before_after(report: Mapping[str, Any]) -> Table:
    """Return a table of the model before the first prune and of the delivered one, from `report.json`.

    A model that was trained first is compared as trained, not as it came.
    """
    before = [step for step in report["steps"] if step["step"] in ("initial", "training")][-1]
    after = report["steps"][-1]
    table = Table(title="Before pruning and after", title_justify="left")
    table.add_column("")
    for heading in ("before", "after", "change"):
        table.add_column(heading, justify="right")
    for label, key in (("parameters", "params"), ("MACs per sample", "macs"), ("file, bytes", "file_bytes")):
        table.add_row(label, _count(before.get(key)), _count(after.get(key)), _change(before.get(key), after.get(key)))
    metrics_before, metrics_after = before.get("metrics") or {}, after.get("metrics") or {}
    for name in dict.fromkeys([*metrics_before, *metrics_after]):
        first, last = metrics_before.get(name), metrics_after.get(name)
        difference = "" if first is None or last is None else f"{last - first:+.4f}"
        table.add_row(literal(name), _figure(first), _figure(last), difference)
    return table


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _change(before: int | None, after: int | None) -> str:
    return "" if not before or after is None else f"{100 * (after - before) / before:+.1f} %"
