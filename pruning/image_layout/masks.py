"""Images with a mask each: `images/<name>.jpg` and `masks/<name>.png`."""

from __future__ import annotations

from pruning.errors import DataError
from pruning.image_layout.names import Part
from pruning.image_layout.sample import Sample

IMAGES, MASKS = "images", "masks"
_MEANT_AS_MASKS = frozenset({"mask", "labels", "label", "annotations", "segmentation", "segmentations", "targets"})
_ENDING = "_mask"


def with_masks(part: Part) -> tuple[Sample, ...] | None:
    """Pair each image with the mask of the same name, which may end in `_mask`; `None` where there are no masks.

    Raises:
        DataError: An image or a mask has no counterpart, or the folder of masks has another name.
    """
    if not part.folders >= {IMAGES, MASKS}:
        _refuse_other_name(part)
        return None
    found: dict[str, dict[str, str]] = {IMAGES: {}, MASKS: {}}
    for name, path in part.files.items():
        if path[0] not in found or len(path) < 2:
            raise DataError(
                f"There are other files next to {IMAGES}/ and {MASKS}/.",
                field="dataset",
                received=name[:200],
                expected=f"only images in {IMAGES}/ and masks in {MASKS}/",
            )
        if path[0] == MASKS and not name.lower().endswith(".png"):
            raise DataError(
                "A mask is not a PNG image.",
                field="dataset",
                received=name[:200],
                expected="PNG, because JPEG changes pixel values",
            )
        stem = "/".join(path[1:]).rpartition(".")[0]
        stem = stem.removesuffix(_ENDING) if path[0] == MASKS else stem
        if stem in found[path[0]]:
            raise DataError(
                f"Two {path[0]} have the same name.",
                field="dataset",
                received=f"{found[path[0]][stem]} and {name}"[:300],
                expected="one image and one mask for each name",
            )
        found[path[0]][stem] = name
    alone = sorted(set(found[IMAGES]) ^ set(found[MASKS]))
    if alone:
        received = found[IMAGES].get(alone[0]) or found[MASKS][alone[0]]
        raise DataError(
            f"{len(alone)} images or masks have no counterpart.",
            field="dataset",
            received=received[:200],
            expected=f"one {MASKS}/<name>.png for each {IMAGES}/<name>.jpg or .png",
        )
    return tuple(Sample(image, found[MASKS][stem]) for stem, image in found[IMAGES].items())


def _refuse_other_name(part: Part) -> None:
    """Refuse `images/` beside a folder that is meant for masks: they would be taken for two classes."""
    others = part.folders - {IMAGES}
    if IMAGES in part.folders and len(others) == 1 and others <= _MEANT_AS_MASKS:
        raise DataError(
            "The folder of masks has the wrong name.",
            field="dataset",
            received=f"{IMAGES}/ and {min(others)}/",
            expected=f"{IMAGES}/ and {MASKS}/",
            hint=f"Rename {min(others)}/ to {MASKS}/.",
        )
