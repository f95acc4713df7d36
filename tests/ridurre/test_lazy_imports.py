"""`import ridurre` must stay light: a client needs no TensorFlow."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ridurre

pytestmark = pytest.mark.fast

HEAVY = "('keras', 'tensorflow', 'numpy', 'sklearn', 'scipy')"


@pytest.mark.parametrize(
    "statement",
    ["import ridurre", "from ridurre import *", "import ridurre.cli.app, ridurre.serve, ridurre.embedded"],
)
def test_nothing_heavy_is_loaded(statement: str) -> None:
    program = f"{statement}\nimport sys\nsys.exit(', '.join(name for name in {HEAVY} if name in sys.modules) or None)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_table_of_contents_is_true() -> None:
    assert {getattr(ridurre, name).__name__ for name in ridurre.__all__} == set(dir(ridurre))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = ridurre.nonsense
