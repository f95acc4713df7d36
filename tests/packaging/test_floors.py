"""The floors of the library in `pyproject.toml` are in the only order that is right."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import grimp
import pytest

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]


def test_each_floor_stands_on_the_one_below_it() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    lines = next(contract["layers"] for contract in contracts if contract["id"] == "library")
    floors = [re.findall(r"\w+", line) for line in lines]
    graph = grimp.build_graph("pruning", cache_dir=None)
    for upper, lower in itertools.pairwise(floors):
        stands = [
            (above, below)
            for above, below in itertools.product(upper, lower)
            if graph.direct_import_exists(importer=f"pruning.{above}", imported=f"pruning.{below}", as_packages=True)
        ]
        assert stands, f"nothing of {upper} imports {lower}: one could be in the place of the other"
