"""A Dockerfile, read as far as the tests need it."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Dockerfile:
    """Its instructions in order, as (NAME, rest of the line)."""

    instructions: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, path: Path) -> Dockerfile:
        """Read a file; continued lines are joined, comments are dropped."""
        lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
        joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
        split = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
        return cls(tuple((name.upper(), rest) for name, rest in split))

    def all(self, name: str) -> list[str]:
        """Return what follows each instruction of a name."""
        return [rest for found, rest in self.instructions if found == name]

    @property
    def command(self) -> list[str]:
        """What the container runs; only the form without a shell is accepted."""
        (command,) = self.all("CMD")
        words: list[str] = json.loads(command)
        return words

    @property
    def copied(self) -> list[str]:
        """Sources of all COPY instructions."""
        return [source for copy in self.all("COPY") for source in shlex.split(copy)[:-1]]

    @property
    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        return dict(word.split("=", 1) for line in self.all("ENV") for word in shlex.split(line))
