"""Text of others (names, paths, messages) as it is: no markup, no escape codes for the terminal."""

from __future__ import annotations

import unicodedata

from rich.text import Text

# Other control characters, halves of pairs (undecodable bytes of a path), line and paragraph separators.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# They would show the text in another order than it is in.
_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def literal(value: object, style: str = "") -> Text:
    """Return one line of text for a console, with line breaks shown escaped like other control characters."""
    return Text("".join(map(_shown, str(value))), style=style)


def literal_lines(value: object, style: str = "") -> Text:
    """Return text for a console that keeps its line breaks."""
    return Text("\n", style=style).join(literal(line, style) for line in str(value).split("\n"))


def _shown(character: str) -> str:
    if unicodedata.category(character) in _HIDDEN_CATEGORIES or character in _BIDIRECTIONAL:
        return character.encode("unicode_escape").decode("ascii")
    return character
