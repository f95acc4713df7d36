"""The only code that knows layer types: one row for each layer that can be followed.

Each file has the rows of a family. Lookup is by exact class. A subclass may compute something else, so it is locked
like any unknown layer; nothing is guessed.
"""

from __future__ import annotations

from pruning.rules import (
    activation,
    attention,
    contraction,
    convolution,
    dense,
    einsum_dense,
    embedding,
    indexing,
    merge,
    movement,
    normalization,
    operations,
    recurrent,
    shape,
    spatial,
    wrappers,
)
from pruning.rules.context import Rule

FAMILIES = (
    activation,
    attention,
    contraction,
    convolution,
    dense,
    einsum_dense,
    embedding,
    indexing,
    merge,
    movement,
    normalization,
    operations,
    recurrent,
    shape,
    spatial,
    wrappers,
)

RULES: dict[type, Rule] = {kind: rule for family in FAMILIES for kind, rule in family.ROWS.items()}
