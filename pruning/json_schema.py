"""What a JSON schema asks for at a path, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Node = Mapping[str, Any]
Path = Sequence[int | str]

_NOUNS = {
    "number": "a number", "integer": "an integer", "string": "a string", "boolean": "true or false",
    "array": "a list", "object": "an object",
}  # fmt: skip
_BOUNDS = {
    "exclusiveMinimum": "above", "minimum": "at least", "exclusiveMaximum": "below", "maximum": "at most",
}  # fmt: skip


class JsonSchema:
    """A JSON schema as pydantic writes it.

    Args:
        document: The schema, with its definitions.
    """

    def __init__(self, document: Node) -> None:
        self._document = document

    def describe(self, path: Path) -> str | None:
        """Return what is expected at a path, or `None` where the schema does not say."""
        node = self._at(path)
        return None if node is None else self._described(self._plain(node))

    def names(self, path: Path) -> list[str]:
        """Return the names of the fields of the object at a path; empty if it is not an object of named fields."""
        node = self._at(path)
        return [] if node is None else list(self._plain(node).get("properties", ()))

    def union_on(self, path: Path) -> list[int | str] | None:
        """Return the path of the first union on a path: what follows it names pydantic's branches, not fields."""
        node: Node | None = self._document
        for length, part in enumerate(path):
            node = self._plain(node) if node is not None else None
            if node is None:
                return None
            if "anyOf" in node:
                return list(path[:length])
            node = _inside(node, part)
        return None

    def _at(self, path: Path) -> Node | None:
        node: Node | None = self._document
        for part in path:
            node = _inside(self._plain(node), part) if node is not None else None
        return node

    def _plain(self, node: Node) -> Node:
        """Follow references, and leave out the alternative of being absent."""
        while True:
            choices = [choice for choice in node.get("anyOf", ()) if choice.get("type") != "null"]
            if "$ref" in node:
                node = self._document["$defs"][node["$ref"].rsplit("/", 1)[-1]]
            elif len(choices) == 1:
                node = choices[0]
            else:
                return node

    def _described(self, node: Node) -> str | None:
        if "anyOf" in node:
            choices = [self._plain(choice) for choice in node["anyOf"] if choice.get("type") != "null"]
            return ", or ".join(text for choice in choices if (text := self._described(choice)) is not None)
        if "enum" in node:
            return f"one of {', '.join(map(str, node['enum']))}"
        if "properties" in node:
            return f"an object with {', '.join(node['properties'])}" if len(node["properties"]) <= 2 else "an object"
        items, values = node.get("items"), node.get("additionalProperties")
        if isinstance(items, dict) and "anyOf" in items:
            return f"a list, each item {self._described(items)}"
        if isinstance(values, dict) and "anyOf" in values:
            return f"an object by name, each value {self._described(values)}"
        noun = _NOUNS.get(str(node.get("type")))
        return None if noun is None else f"{noun} {_bounds(node)}".strip()


def _inside(node: Node, part: int | str) -> Node | None:
    if isinstance(part, int):
        return node.get("items")
    found = node.get("properties", {}).get(part, node.get("additionalProperties"))
    return found if isinstance(found, dict) else None


def _bounds(node: Node) -> str:
    if "maxLength" in node:
        return f"of {node.get('minLength', 0)} to {node['maxLength']} characters"
    return " and ".join(f"{words} {node[name]:g}" for name, words in _BOUNDS.items() if name in node)
