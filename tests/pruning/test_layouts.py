"""What both the inspection of an upload and the job know of files."""

from __future__ import annotations

import io
import zipfile

import pytest

from pruning.model_layout import format_of
from pruning.zip_layout import claims_too_much

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("start", "format"),
    [
        (b"PK\x03\x04\x14\x00\x00\x00", "keras"),
        (b"\x89HDF\r\n\x1a\n", "h5"),
        (b"\x89HDF\n\x1a\n\x00", None),  # a transfer as text took the carriage return
        (b"PK\x05\x06\x00\x00\x00\x00", None),  # an empty zip
        (b"\x89PNG\r\n\x1a\n", None),
        (b"", None),
    ],
)
def test_the_first_bytes_tell_the_format(start: bytes, format: str | None) -> None:
    assert format_of(start) == format


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("num_bytes", [0, 1, 300, 1 << 24])
def test_what_a_zip_can_hold_is_believed(method: int, num_bytes: int) -> None:
    with zipfile.ZipFile(io.BytesIO(), "w", method) as archive:
        archive.writestr("zeros", bytes(num_bytes))
        (member,) = archive.infolist()
        assert not claims_too_much(member)
        member.file_size = max(member.compress_size, 1) * 1101
        assert claims_too_much(member)
