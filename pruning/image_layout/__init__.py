"""How images and their targets are laid out in a zip or folder, by names and tables alone.

The inspection of an upload and the job share this, so what the upload counts is what the job trains on. Only the
standard library is imported.
"""

from pruning.image_layout.layout import LAYOUT, ImageLayout
from pruning.image_layout.names import IMAGE_SUFFIXES
from pruning.image_layout.sample import Sample

__all__ = ["IMAGE_SUFFIXES", "LAYOUT", "ImageLayout", "Sample"]
