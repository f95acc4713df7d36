"""What every zip file is like: the upload's inspection and the job trust it equally little."""

from __future__ import annotations

from zipfile import ZipInfo

ZIP_MAGIC = b"PK\x03\x04"
"""What it starts with, unless it is empty."""
DEFLATE_RATIO = 1100
"""Deflate itself cannot shrink anything further than 1032 times."""


def claims_too_much(member: ZipInfo) -> bool:
    """Tell whether a member claims to be longer than what is stored of it can become: a bomb, or damage."""
    return member.file_size > DEFLATE_RATIO * max(member.compress_size, 1)
