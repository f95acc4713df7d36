"""`ridurre explain`."""

from __future__ import annotations

from typing import Annotated

from rich.console import Console
from typer import Option

from ridurre.cli.exits import exit_codes
from ridurre.cli.literal import literal_lines
from ridurre.cli.options import Model
from ridurre.cli.quiet import load_keras


def explain(
    model: Model, as_json: Annotated[bool, Option("--json", help="Print JSON, including the channel groups.")] = False
) -> None:
    """Show which layers are coupled, which can be pruned, and why others cannot. Needs no service."""
    load_keras()
    from ridurre.local import explain as explain_model

    with exit_codes():
        explanation = explain_model(model)
        text = explanation.model_dump_json(indent=2) if as_json else str(explanation)
        Console().print(literal_lines(text), soft_wrap=True)
