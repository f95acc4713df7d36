"""Write the API reference from the docstrings: python scripts/api_reference.py FOLDER."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pdoc

MODULES = (
    "pruning", "pruning.spec", "pruning.plan", "pruning.report", "pruning.errors", "pruning.catalog",
    "pruning.criteria.base", "pruning.rules.context", "pruning.rules.records", "pruning.graph.groups", "ridurre",
)  # fmt: skip


def write(folder: Path) -> None:
    """Write one page for each module, with an index."""
    for name in MODULES:
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            # The packages import their public names on first use; pdoc only sees what is there already.
            setattr(module, public, getattr(module, public))
    pdoc.render.configure(docformat="google", footer_text="Ridurre")
    pdoc.pdoc(*MODULES, output_directory=folder)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
