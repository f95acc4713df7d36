"""ETags: quoting them, and comparing them with what a client already has."""

from __future__ import annotations


def quoted(value: object) -> str:
    """Return a strong ETag."""
    return f'"{value}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Return whether the header names the ETag; weak and strong compare alike (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    candidates = [candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")]
    return etag in candidates or "*" in candidates
