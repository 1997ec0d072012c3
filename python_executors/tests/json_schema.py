"""As much of JSON Schema as docs/model.schema.json uses."""

import math
import re
from typing import Any

_TYPES: dict[str, Any] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: type(v) is int,
    "number": lambda v: type(v) in (int, float) and math.isfinite(v),
}
_SILENT = {"$schema", "$defs", "title", "description"}


def mistake(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> str:
    """The first rule that a value breaks; "" when it keeps to all of them."""
    for rule, wanted in schema.items():
        if rule in _SILENT:
            continue
        if not _RULES[rule](value, wanted, schema, root):
            return rule
    return ""


def _fits(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    return not mistake(value, schema, root)


def _reference(value: Any, wanted: str, _: Any, root: dict[str, Any]) -> bool:
    return _fits(value, root["$defs"][wanted.removeprefix("#/$defs/")], root)


def _properties(value: Any, wanted: Any, _: Any, root: Any) -> bool:
    return not isinstance(value, dict) or all(
        _fits(value[key], wanted[key], root) for key in value if key in wanted
    )


def _additional(value: Any, wanted: Any, schema: Any, root: Any) -> bool:
    others = [key for key in value if key not in schema.get("properties", {})]
    if wanted is False:
        return not others
    return all(_fits(value[key], wanted, root) for key in others)


_RULES: dict[str, Any] = {
    "$ref": _reference,
    "type": lambda v, wanted, *_: _TYPES[wanted](v),
    "enum": lambda v, wanted, *_: v in wanted,
    "const": lambda v, wanted, *_: type(v) in (type(wanted), float) and v == wanted,
    "pattern": lambda v, wanted, *_: re.search(wanted, v) is not None,
    "minLength": lambda v, wanted, *_: len(v) >= wanted,
    "maxLength": lambda v, wanted, *_: len(v) <= wanted,
    "minItems": lambda v, wanted, *_: len(v) >= wanted,
    "maxItems": lambda v, wanted, *_: len(v) <= wanted,
    "minimum": lambda v, wanted, *_: v >= wanted,
    "maximum": lambda v, wanted, *_: v <= wanted,
    "items": lambda v, wanted, _, root: all(_fits(item, wanted, root) for item in v),
    "required": lambda v, wanted, *_: all(key in v for key in wanted),
    "properties": _properties,
    "additionalProperties": _additional,
    "propertyNames": lambda v, wanted, _, root: all(_fits(k, wanted, root) for k in v),
    "dependentRequired": lambda v, wanted, *_: all(
        key not in v or all(other in v for other in others)
        for key, others in wanted.items()
    ),
    "oneOf": lambda v, wanted, _, root: sum(_fits(v, one, root) for one in wanted) == 1,
    "not": lambda v, wanted, _, root: not _fits(v, wanted, root),
}
