"""Export formats: write a model for others to run, and run it. One file each; the table is `pruning.catalog`."""

from __future__ import annotations

from pruning.export.base import ExportFormat, InputSpec, Runner
from pruning.export.exporting import ExportResult, export_model
from pruning.export.formats import resolve_format, runner
from pruning.export.latency import median_seconds

__all__ = [
    "ExportFormat", "ExportResult", "InputSpec", "Runner", "export_model", "median_seconds",
    "resolve_format", "runner",
]  # fmt: skip
