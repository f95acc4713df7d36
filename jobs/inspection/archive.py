"""Archive: a zip file that somebody else made, opened without trusting its directory."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pruning.errors import PruningError
from pruning.zip_layout import claims_too_much

MAX_DIRECTORY_BYTES = 32 * 1024**2
MAX_NAME_CHARACTERS = 512

_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_BYTES, _LOCATOR_BYTES, _MAX_COMMENT_BYTES = 22, 20, 65_535
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error, OSError)


class Archive:
    """The checked members of a zip file, directories left out."""

    def __init__(self, file: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], refusal: type[PruningError]) -> None:
        self.members = members
        self._file = file
        self._refusal = refusal

    def read(self, name: str, max_bytes: int) -> bytes:
        """Return a whole member, or refuse it if it has more than `max_bytes`."""
        data = self.read_start(name, max_bytes + 1)
        if len(data) > max_bytes:
            raise self._refusal(
                f"{name} is too large.", field="file", received=name, expected=f"at most {max_bytes} bytes"
            )
        return data

    def read_start(self, name: str, num_bytes: int) -> bytes:
        """Return the first `num_bytes` of a member, or all of it if it has fewer."""
        try:
            with self._file.open(self.members[name]) as member:
                return member.read(num_bytes)
        except _DAMAGED:
            raise damaged(self._refusal, f"the member {name!r} is unreadable") from None


def damaged(refusal: type[PruningError], detail: str) -> PruningError:
    """Say that a zip file is damaged or made to deceive."""
    return refusal(
        f"The archive is damaged: {detail}.",
        field="file",
        received="a damaged zip file",
        expected="a complete zip file with stored or deflated members, without a password",
        hint="Upload the file again. If that fails, save it again.",
    )


@contextmanager
def open_archive(path: Path, refusal: type[PruningError], max_members: int) -> Iterator[Archive]:
    """Open a zip file after checking its directory.

    Args:
        path: The file; it starts with `ZIP_MAGIC`.
        refusal: `ModelError` or `DataError`, raised for whatever is wrong.
        max_members: More are refused before the directory is read.
    """
    with path.open("rb") as file:
        try:
            num_members, directory_bytes = _directory_bounds(file)
        except _DAMAGED:
            raise damaged(refusal, "its end is missing") from None
        if num_members > max_members or directory_bytes > MAX_DIRECTORY_BYTES:
            raise refusal(
                "The archive has too many members.",
                field="file",
                received=f"{num_members} members",
                expected=f"at most {max_members}",
            )
        try:
            archive = zipfile.ZipFile(file)
        except (*_DAMAGED, ValueError):
            raise damaged(refusal, "its directory is unreadable") from None
        with archive:
            yield Archive(archive, _checked_members(archive, refusal), refusal)


def _directory_bounds(file: BinaryIO) -> tuple[int, int]:
    """Return number of members and size in bytes of the directory, as the end of the file claims them."""
    size_bytes = file.seek(0, os.SEEK_END)
    tail_start = max(0, size_bytes - _END_BYTES - _MAX_COMMENT_BYTES)
    file.seek(tail_start)
    tail = file.read()
    position = tail.rfind(_END)
    if position < 0:
        raise EOFError
    num_members, directory_bytes = struct.unpack_from("<HL", tail, position + 10)
    if num_members == 0xFFFF or directory_bytes == 0xFFFFFFFF:
        if tail[position - _LOCATOR_BYTES : position][:4] != _LOCATOR_64:
            raise EOFError
        file.seek(struct.unpack_from("<Q", tail, position - _LOCATOR_BYTES + 8)[0])
        end = file.read(56)
        if end[:4] != _END_64:
            raise EOFError
        num_members, directory_bytes = struct.unpack_from("<QQ", end, 32)
    return num_members, directory_bytes


def _checked_members(archive: zipfile.ZipFile, refusal: type[PruningError]) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    end_of_previous = 0
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        name = info.filename
        _check_name(info, refusal)
        if name in members:
            raise damaged(refusal, f"the member {name!r} occurs twice")
        if info.header_offset < end_of_previous:
            raise damaged(refusal, f"the member {name!r} overlaps another")
        end_of_previous = info.header_offset + 30 + len(name.encode()) + info.compress_size
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise damaged(refusal, f"the member {name!r} is encrypted or uses unsupported compression")
        if claims_too_much(info):
            raise damaged(refusal, f"the member {name!r} has an invalid size")
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise damaged(refusal, f"the member {name!r} is not a regular file")
        if not info.is_dir():
            members[name] = info
    return members


def _check_name(info: zipfile.ZipInfo, refusal: type[PruningError]) -> None:
    name = info.filename
    parts = name.removesuffix("/").split("/")
    is_inside = not any(part in ("", ".", "..") for part in parts) and "\\" not in name and ":" not in parts[0]
    if not is_inside or info.orig_filename != name or not name.isprintable() or len(name) > MAX_NAME_CHARACTERS:
        raise refusal(
            "The archive has a member with an unsafe name.",
            field="file",
            received=repr(name[:100]),
            expected="relative paths with forward slashes, without '..'",
        )
