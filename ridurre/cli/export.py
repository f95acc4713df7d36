"""`ridurre export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from typer import Argument, Option

from pruning.catalog import EXPORT_FORMATS
from ridurre.cli.exits import exit_codes
from ridurre.cli.literal import literal
from ridurre.cli.options import Model
from ridurre.cli.quiet import load_keras
from ridurre.cli.table import spoken

FORMAT_HELP = "  ".join(
    f"{name}{f' ({entry.suffix})' if entry.suffix else ''}: {entry.summary}" for name, entry in EXPORT_FORMATS.items()
)
PRECISIONS = tuple(dict.fromkeys(precision for entry in EXPORT_FORMATS.values() for precision in entry.precisions))


def complete_format(incomplete: str) -> list[tuple[str, str]]:
    """Return the formats that begin with what was typed, each with its summary."""
    return [(name, entry.summary) for name, entry in EXPORT_FORMATS.items() if name.startswith(incomplete)]


def check_format(name: str) -> str:
    """Return the name of a format in the catalog; anything else is a usage error."""
    if name not in EXPORT_FORMATS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(EXPORT_FORMATS)}.")
    return name


def export(
    model: Model,
    format: Annotated[str, Argument(help=FORMAT_HELP, autocompletion=complete_format, callback=check_format)],
    out: Annotated[Path, Argument(help="Path of the exported file.")],
    precision: Annotated[str, Option(help=f"{', '.join(PRECISIONS)}, if the format has it.")] = "float32",
    data: Annotated[
        Path | None,
        Option(help="An .npz file with real inputs x_train, required for int8, and optional labels y_train."),
    ] = None,
) -> None:
    """Convert a model to another format and check that its outputs are the same."""
    load_keras()
    from ridurre.local import export as export_locally

    console = Console()
    with exit_codes():
        result = export_locally(model, format, out, precision=precision, data=data)
        if result.metrics:
            table = Table(title="In Keras and exported", title_justify="left")
            for heading in ("", "Keras", f"{format}, {precision}"):
                table.add_column(heading, justify="right" if heading else "left")
            for name, value in result.metrics.items():
                table.add_row(literal(spoken(name)), f"{result.model_metrics[name]:.4f}", f"{value:.4f}")
            console.print(table)
        difference = f"largest relative difference {result.max_relative_difference:.1e}"
        console.print(literal(f"Wrote {out}: {result.num_bytes:,} bytes, {difference}"), soft_wrap=True)
