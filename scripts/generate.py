"""Writes what says the same as the specs and the catalog in another form; `scripts/generate` runs it.

`ridurre/pruning_options.py` names the fields for type checkers and editors, `docs/options.md` explains them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pruning.catalog import BUILT_IN, EXPORT_FORMATS
from pruning.spec import PruningSpec, TrainingSpec
from ridurre.spec_options import spec_options

ROOT = Path(__file__).resolve().parents[1]

TYPES = {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "null": "None"}
FREE = ("criterion", "schedule")
"""Fields that may be functions and objects in the library."""

CLASS = '''"""Written by `scripts/generate` from `pruning.spec.PruningSpec`; change that, not this."""

from __future__ import annotations

from typing import Any, TypedDict


class PruningOptions(TypedDict, total=False):
    """What to remove, how much, and when to stop; see `PruningSpec` for each field."""

'''
PAGE = """# Options

Written by `scripts/generate` from specs and catalog. A field is a key of `pruning` or `training` in a job and in
`PruningSpec` and `TrainingSpec`. What has no option of the command is given to it as JSON: `--pruning`, `--training`.
"""


def generated() -> dict[Path, str]:
    """Return path → text of each file."""
    rows = [f"    {name}: {_type(name, field)}\n" for name, field in _fields(PruningSpec).items()]
    page = [PAGE, *_table("pruning", PruningSpec), *_table("training", TrainingSpec), *_criteria(), *_formats()]
    return {
        ROOT / "ridurre" / "pruning_options.py": CLASS + "".join(rows),
        ROOT / "docs" / "options.md": "\n".join(page) + "\n",
    }


def _fields(spec: type[BaseModel]) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = spec.model_json_schema()["properties"]
    return fields


def _type(name: str, field: Mapping[str, Any]) -> str:
    return "Any" if name in FREE else " | ".join(dict.fromkeys(_member(each) for each in field.get("anyOf", [field])))


def _member(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return "dict[str, Any]"
    if schema["type"] == "array":
        return f"list[{_type('', schema['items'])}]"
    if schema["type"] == "object":
        return f"dict[str, {_type('', schema['additionalProperties'])}]"
    return TYPES[schema["type"]]


def _table(title: str, spec: type[BaseModel]) -> Iterator[str]:
    options: dict[str, list[str]] = {}
    for option in spec_options(spec, title):
        options.setdefault(option.path[0], []).append(f"`--{option.name.replace('_', '-')}`")
    yield f"## `{title}`\n"
    yield "| field | default | option of the command | |\n|---|---|---|---|"
    for name, field in _fields(spec).items():
        cells = [f"`{name}`", f"`{json.dumps(field['default'])}`", " ".join(options.get(name, []))]
        cells.append(field.get("description", "").replace("|", "\\|"))
        yield f"| {' | '.join(cells)} |"
    yield ""


def _criteria() -> Iterator[str]:
    yield "## Criteria\n"
    yield "| name | | needs data | source |\n|---|---|---|---|"
    for entry in BUILT_IN.values():
        yield f"| `{entry.name}` | {entry.summary} | {'yes' if entry.needs_data else ''} | {entry.source} |"
    yield ""


def _formats() -> Iterator[str]:
    yield "## Export formats\n"
    yield "| name | | precisions |\n|---|---|---|"
    for entry in EXPORT_FORMATS.values():
        yield f"| `{entry.name}` | {entry.summary} | {', '.join(f'`{each}`' for each in entry.precisions)} |"
    yield ""


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text)
