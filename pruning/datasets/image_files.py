"""The image files of a zip or folder, opened one by one."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pruning.datasets.npz import UNREADABLE
from pruning.errors import DataError, first_line

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 25_000_000


@dataclass(frozen=True)
class ImageFiles:
    """Files by their relative paths, wherever they are.

    Attributes:
        names: Relative paths of all files.
        read: Returns the bytes of one of them.
    """

    names: list[str]
    read: Callable[[str], bytes]

    def open(self, name: str) -> Image:
        """Open an image, turned as its camera was held. Its size is checked before its pixels are decoded.

        Raises:
            DataError: It cannot be decoded, has too many pixels, or is animated.
        """
        from PIL import Image, ImageOps, UnidentifiedImageError

        try:
            image = Image.open(io.BytesIO(self.read(name)), formats=("JPEG", "PNG"))
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(name, f"{image.width} x {image.height} pixels")
            if image.format == "PNG" and getattr(image, "is_animated", False):
                raise DataError(
                    f"The image {name} is animated.", field="dataset", received="several frames", expected="one frame"
                )
            image.load()
            return ImageOps.exif_transpose(image)
        except UnidentifiedImageError as error:
            raise _undecodable(name, "another kind of file") from error
        except Image.DecompressionBombError as error:
            raise _too_large(name, "too many pixels") from error
        except (SyntaxError, *UNREADABLE) as error:
            raise _undecodable(name, first_line(error, 200)) from error


@contextmanager
def opened(path: Path) -> Iterator[ImageFiles]:
    """Open a zip or a folder.

    Raises:
        DataError: The zip cannot be read.
    """
    if path.is_dir():
        yield ImageFiles(list(_below(path)), lambda name: (path / name).read_bytes())
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError("Cannot read the zip of images.", field="dataset", received=str(error)) from error
    with archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        yield ImageFiles(names, archive.read)


def _below(path: Path) -> Iterator[str]:
    """Yield the files below a folder by their relative paths; links are followed, but not back to a folder above."""
    for folder, folders, files in os.walk(path, followlinks=True):
        here = Path(folder)
        folders[:] = [name for name in folders if not here.resolve().is_relative_to((here / name).resolve())]
        yield from ((here.relative_to(path) / name).as_posix() for name in files)


def _undecodable(name: str, received: str) -> DataError:
    return DataError(
        f"Cannot decode the image {name}.", field="dataset", received=received, expected="a JPEG or PNG image"
    )


def _too_large(name: str, received: str) -> DataError:
    expected = f"at most {MAX_PIXELS // 1_000_000} megapixels"
    return DataError(f"The image {name} is too large.", field="dataset", received=received, expected=expected)
