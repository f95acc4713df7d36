"""Where results go, looked at before any work is done for them."""

from __future__ import annotations

import os
from pathlib import Path

from ridurre.errors import InvalidOptionError


def check_model_target(path: Path) -> Path:
    """Return the path if a pruned model can be written there.

    Raises:
        InvalidOptionError: It has another ending than `.keras`, is a folder, or cannot be written.
    """
    if path.suffix != ".keras":
        raise _refusal("The name of a pruned model must end in .keras.", path, "a name that ends in .keras")
    return check_file_target(path)


def check_file_target(path: Path) -> Path:
    """Return the path if a file can be written there.

    Raises:
        InvalidOptionError: It is a folder, its folder is missing, or one of them must not be written.
    """
    if path.is_dir():
        raise _refusal("The path is a folder.", path, "the path of a file")
    check_folder_target(path.parent, path)
    if path.exists() and not os.access(path, os.W_OK):
        raise _refusal("The file is not writable.", path, "a writable file")
    return path


def check_folder_target(folder: Path, received: Path | None = None) -> None:
    """Do nothing if files can be put into a folder.

    Raises:
        InvalidOptionError: The folder is missing, is none, or must not be written.
    """
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise _refusal(f"The folder {folder} {what}.", received or folder, "a path in an existing folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _refusal(f"The folder {folder} is not writable.", received or folder, "a writable folder")


def check_new_folder(path: Path) -> Path:
    """Return the path if it is a folder that files can be put into, or can be made one.

    Raises:
        InvalidOptionError: It is a file, the folder that it is in is missing, or one of them must not be written.
    """
    check_folder_target(path if path.exists() else path.parent, path)
    return path


def _refusal(detail: str, received: Path, expected: str) -> InvalidOptionError:
    return InvalidOptionError(detail, field="out", received=str(received), expected=expected)
