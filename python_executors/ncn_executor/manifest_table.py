"""A TOML table whose values are checked as they are taken."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from ncn_executor.errors import ErrorCode, ExecutorError

FILE_NAME = "model.toml"
# These bounds and rules are those of the node (src/models/manifest.cc).
RANK_MAX = 16
TENSORS_MAX = 256
DIMENSION_MAX = 1 << 40
_LINE_BYTES_MAX = 256


class Table:
    """One table, and where it is."""

    def __init__(self, path: str, values: Mapping[str, Any]) -> None:
        self.path = path
        self.values = values

    def only(self, known: Iterable[str]) -> None:
        """Refuses a key outside `known`, proposing the nearest."""
        known = list(known)
        for key in self.values:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                raise error(
                    f"has an unknown key '{key}'{hint}",
                    self.at(key),
                    ", ".join(known),
                    key,
                )

    def table(self, key: str) -> "Table":
        return Table(self.at(key), self._typed(key, dict, {}, "a table"))

    def tables(self, key: str) -> "list[Table]":
        items = self._typed(key, list, [], "an array of tables")
        if len(items) > TENSORS_MAX:
            raise self.wrong(key, f"at most {TENSORS_MAX} tables", len(items))
        for item in items:
            if not isinstance(item, dict):
                raise self.wrong(key, "an array of tables", item)
        return [Table(f"{self.at(key)}[{i}]", item) for i, item in enumerate(items)]

    def text(self, key: str) -> str:
        return str(self._typed(key, str, "", "a text"))

    def line(self, key: str) -> str:
        """A text that is shown, in messages too."""
        text = self.text(key)
        if len(text.encode()) > _LINE_BYTES_MAX or any(
            ord(c) < 0x20 or ord(c) == 0x7F for c in text
        ):
            raise self.wrong(
                key, f"a line of at most {_LINE_BYTES_MAX} printable bytes", text
            )
        return text

    def file_name(self, key: str) -> str:
        """A file within the folder, never a way out of it."""
        name = self.line(key)
        if name.startswith(".") or "/" in name:
            expected = "the plain name of a file in the model's folder"
            raise self.wrong(key, expected, name)
        return name

    def texts(self, key: str) -> tuple[str, ...]:
        items = self._typed(key, list, [], "a list of texts")
        if not all(isinstance(item, str) for item in items):
            raise self.wrong(key, "a list of texts", items)
        return tuple(items)

    def flag(self, key: str) -> bool:
        return bool(self._typed(key, bool, False, "true or false"))

    def choice(self, key: str, default: str, choices: Iterable[str]) -> str:
        value = self.text(key) if key in self.values else default
        if key in self.values and value not in choices:
            raise self.wrong(key, "one of " + ", ".join(choices), value)
        return value

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        value = self.values.get(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.wrong(key, f"a whole number from {low} to {high}", value)
        return value

    def number(self, key: str, default: float) -> float:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(key, "a number", value)
        if value != value or abs(value) == float("inf"):
            raise self.wrong(key, "a finite number", value)
        return float(value)

    def numbers(
        self, key: str, default: tuple[float, ...], channels: int
    ) -> tuple[float, ...]:
        value = self.values.get(key, list(default))
        items = value if isinstance(value, list) else [value]
        if len(items) not in (1, channels):
            raise self.wrong(key, f"1 or {channels} numbers", items)
        return tuple(Table(self.path, {key: i}).number(key, 0.0) for i in items)

    def integers(
        self, key: str, low: int, high: int = DIMENSION_MAX
    ) -> tuple[int, ...]:
        items = self._typed(key, list, [], "a list of whole numbers")
        for item in items:
            if type(item) is not int or not low <= item <= high:
                raise self.wrong(key, f"whole numbers from {low} to {high}", item)
        if len(items) > RANK_MAX:
            raise self.wrong(key, f"at most {RANK_MAX} dimensions", items)
        return tuple(items)

    def wrong(self, key: str, expected: str, value: Any) -> ExecutorError:
        """What to raise for a value that cannot be used."""
        found = f"{type(value).__name__} {str(value)[:80]}"
        return error(f"has a wrong '{key}'", self.at(key), expected, found)

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def _typed(self, key: str, kind: type, default: Any, expected: str) -> Any:
        value = self.values.get(key, default)
        if not isinstance(value, kind):
            raise self.wrong(key, expected, value)
        return value


def error(what: str, field: str, expected: str, found: str) -> ExecutorError:
    """An error of the manifest."""
    return ExecutorError(
        ErrorCode.INVALID_MANIFEST,
        f"{FILE_NAME} {what}",
        field=field,
        expected=expected,
        found=found,
        path=FILE_NAME,
    )
