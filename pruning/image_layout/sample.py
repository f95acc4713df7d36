"""One image and its target."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """One image and its target.

    Attributes:
        image: Name of the file with the image.
        target: The name of its class, the name of the file with its mask, numbers, or `None` for an unlabelled image.
    """

    image: str
    target: str | tuple[float, ...] | None = None
