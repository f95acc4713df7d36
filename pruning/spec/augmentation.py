"""Augmentation: random changes to training images."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    Field,
)

from pruning.spec.values import Frozen


class Augmentation(Frozen):
    """Random changes to training images; inputs of other rank are rejected.

    Masks with the images' height and width move with them. Images and masks are padded with 0: label 0, or no class
    if each class has its own map.
    """

    horizontal_flip: bool = Field(default=False, description="Flip half of the images left to right.")
    vertical_flip: bool = Field(default=False, description="Flip half of the images upside down.")
    crop: int = Field(default=0, ge=0, le=256, description="Pad by this many pixels, then crop at random.")
    shift: float = Field(default=0.0, ge=0, lt=1, description="Shift by up to this fraction of height and width.")
    targets: Literal["auto", "unchanged"] = Field(
        default="auto",
        description="auto moves masks with the images, does not change labels and single numbers, and rejects possible "
        "positions in the image, such as keypoints; unchanged does not change any targets.",
    )

    mixup: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="Train on weighted means of two samples and their targets, with weights from Beta(mixup, mixup); "
        "0.2 is usual, 0 turns it off.",
    )

    @property
    def moves(self) -> bool:
        """Whether images are flipped or shifted at all."""
        return self.horizontal_flip or self.vertical_flip or self.crop > 0 or self.shift > 0
