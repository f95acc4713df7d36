"""Options of the command that are fields of a spec: their types and their help come from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from pydantic import BaseModel

Schema = Mapping[str, Any]
Path = tuple[str, ...]

KINDS = {"integer": int, "number": float, "string": str, "boolean": bool}

NAMES: dict[Path, str] = {
    ("num_iterations",): "iterations",
    ("runtimes",): "runtime",
    ("search", "max_trials"): "search_trials",
    ("search", "max_epochs"): "search_epochs",
    ("search", "max_minutes"): "search_minutes",
    ("baselines", "methods"): "baselines",
}
"""Fields whose options have another name than their own, or that of field and inner field."""


@dataclass(frozen=True)
class SpecOption:
    """An option of the command.

    Attributes:
        name: Its name, with underscores.
        path: The field of the spec, or field and inner field.
        annotation: Its type, with what Typer shows of it.
        is_list: Whether the field is a list, which is given with commas.
    """

    name: str
    path: Path
    annotation: Any
    is_list: bool = False


def spec_options(spec: type[BaseModel], panel: str) -> list[SpecOption]:
    """Return an option for each field that is a number, a text, a switch, or a list of numbers or texts.

    Args:
        spec: Its other fields have no option.
        panel: Title under which the help shows them.
    """
    schema = spec.model_json_schema()
    return list(_options(schema["properties"], schema.get("$defs", {}), (), panel))


def _options(fields: Schema, definitions: Schema, outer: Path, panel: str) -> Iterator[SpecOption]:
    for name, field in fields.items():
        path = (*outer, name)
        members = [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]
        inner = [definitions[each["$ref"].rpartition("/")[2]] for each in members if "$ref" in each]
        plain = [each for each in members if each.get("type") in KINDS and "const" not in each]
        arrays = [] if plain else [each for each in members if each.get("type") == "array"]
        lists = [item for each in arrays if (item := _item(each)) is not None]
        words = [each["const"] for each in members if "const" in each]
        if inner and not plain:
            if not outer:
                yield from _options(inner[0].get("properties", {}), definitions, path, panel)
        elif plain or lists or words:
            annotation = _annotation(field.get("description", ""), plain, lists, words, panel, is_inner=bool(outer))
            yield SpecOption(NAMES.get(path, "_".join(path)), path, annotation, bool(outer and lists))


def _item(array: Schema) -> Schema | None:
    """Return what an array holds, if that may be a number or a text."""
    items = array["items"].get("anyOf", [array["items"]])
    return next((each for each in items if each.get("type") in KINDS), None)


def _annotation(
    description: str, plain: list[Schema], lists: list[Schema], words: list[str], panel: str, *, is_inner: bool
) -> Any:
    shown: dict[str, Any] = {"help": _first_sentence(description) or None, "rich_help_panel": panel}
    if lists:
        kind: Any = KINDS[lists[0]["type"]]
        if not is_inner:
            return Annotated[list[kind] | None, typer.Option(**shown, **_choices(lists[0]))]
        shown["help"] = f"{shown['help'] or ''} Separated by commas.".strip()
        return Annotated[str | None, typer.Option(**shown)]
    if plain and words:
        kind = KINDS[plain[0]["type"]]
        shown["metavar"] = f"<{'|'.join([*words, kind.__name__])}>"
        return Annotated[str | None, typer.Option(**shown, parser=_word_or(kind, words))]
    if plain:
        kind = KINDS[plain[0]["type"]]
        return Annotated[kind | None, typer.Option(**shown, **_choices(plain[0]))]
    return Annotated[str | None, typer.Option(**shown, metavar=f"<{'|'.join(words)}>")]


def _choices(schema: Schema) -> dict[str, Any]:
    return {"metavar": f"<{'|'.join(schema['enum'])}>"} if "enum" in schema else {}


def _first_sentence(text: str) -> str:
    sentence, end, _ = text.partition(". ")
    return sentence + end.strip()


def _word_or(kind: type, words: list[str]) -> Any:
    def parse(text: str) -> Any:
        if text in words:
            return text
        try:
            return kind(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not a number or {' or '.join(words)}.") from None

    return parse
