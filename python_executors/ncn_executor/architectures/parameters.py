"""Checked access to the parameters of an architecture."""

import difflib
from collections.abc import Mapping
from typing import Any

from ncn_executor.errors import ErrorCode, ExecutorError

# Bounds one layer to sizes that cannot overflow; memory limits do the rest.
SIZE_MAX = 1 << 24
LAYERS_MAX = 1024


class Parameters:
    """Values of `[architecture]`; remembers which were asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._known: list[str] = []

    def size(self, key: str, default: int | None = None, low: int = 1) -> int:
        """A whole number from `low`."""
        value = self._take(key, default)
        if type(value) is not int or not low <= value <= SIZE_MAX:
            raise self._wrong(key, f"a whole number from {low} to {SIZE_MAX}", value)
        return value

    def sizes(
        self, key: str, default: list[int] | None = None, count_min: int = 0
    ) -> list[int]:
        """A list of whole numbers from 1."""
        value = self._take(key, default)
        if (
            not isinstance(value, list)
            or not count_min <= len(value) <= LAYERS_MAX
            or not all(type(v) is int and 1 <= v <= SIZE_MAX for v in value)
        ):
            raise self._wrong(key, f"{count_min} or more whole numbers from 1", value)
        return value

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def choice(self, key: str, default: str, choices: list[str]) -> str:
        """One of several texts."""
        value = self._take(key, default)
        if value not in choices:
            raise self._wrong(key, "one of " + ", ".join(choices), value)
        return str(value)

    def refuse_unused(self) -> None:
        """A parameter that nothing asked for is a mistake."""
        for key in self._values:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, 1)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                raise _error(
                    f"has an unknown parameter '{key}'{hint}",
                    key,
                    ", ".join(self._known),
                    key,
                )

    def _take(self, key: str, default: Any) -> Any:
        self._known.append(key)
        value = self._values.get(key, default)
        if value is None:
            raise _error(f"needs the parameter '{key}'", key, "a value", "nothing")
        return value

    def _wrong(self, key: str, expected: str, value: Any) -> ExecutorError:
        return _error(f"has a wrong '{key}'", key, expected, repr(value)[:80])


def _error(what: str, key: str, expected: str, found: str) -> ExecutorError:
    return ExecutorError(
        ErrorCode.INVALID_MANIFEST,
        f"the architecture {what}",
        field=f"architecture.{key}",
        expected=expected,
        found=found,
    )
