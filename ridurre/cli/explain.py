"""`ridurre explain`."""

from __future__ import annotations

import os
from typing import Annotated

from rich.console import Console
from typer import Option

from ridurre.cli.exits import exit_codes
from ridurre.cli.literal import literal_lines
from ridurre.cli.options import Model


def explain(
    model: Model, as_json: Annotated[bool, Option("--json", help="Print JSON, with the channel groups.")] = False
) -> None:
    """Say which layers are coupled, which can be pruned, and why others cannot. Needs no service."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reads it once, when it is imported

    from ridurre.local import explain as explain_model

    with exit_codes():
        explanation = explain_model(model)
        text = explanation.model_dump_json(indent=2) if as_json else str(explanation)
        Console().print(literal_lines(text), soft_wrap=True)
