"""Augmentation: random changes to training images."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    Field,
)

from pruning.spec.values import Frozen


class Augmentation(Frozen):
    """Random changes to training images; inputs of other rank are refused.

    Masks of the images' height and width move with them. What comes in from beyond the edge is 0, in images and masks:
    label 0, or no class at all where each class has a map of its own.
    """

    horizontal_flip: bool = Field(default=False, description="Mirror half of the images, left to right.")
    vertical_flip: bool = Field(default=False, description="Turn half of the images upside down.")
    crop: int = Field(default=0, ge=0, le=256, description="Pad by this many pixels, then crop back at random.")
    shift: float = Field(default=0.0, ge=0, lt=1, description="Shift by up to this fraction of height and width.")
    targets: Literal["auto", "unchanged"] = Field(
        default="auto",
        description="auto moves masks with the images, leaves labels and single numbers alone, and refuses what could "
        "be places in the image, such as keypoints; unchanged leaves all targets alone.",
    )

    mixup: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="Train on means of two samples and of their targets, with shares from Beta(mixup, mixup); 0.2 is "
        "usual, 0 mixes nothing.",
    )

    @property
    def moves(self) -> bool:
        """Whether images are flipped or shifted at all."""
        return self.horizontal_flip or self.vertical_flip or self.crop > 0 or self.shift > 0
