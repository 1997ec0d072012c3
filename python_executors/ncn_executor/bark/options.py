"""What a request may say beside its text or tokens."""

import base64
import binascii
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from ncn_executor.errors import ExecutorError, invalid_input

_HISTORY_CHARS_MAX = 8 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Options:
    """Checked parameters; each stage takes those that concern it.

    Attributes:
        seed: of all random numbers; None: the request's own, else a fresh one.
        temperature: of semantic and coarse tokens; 0 takes the likeliest.
        fine_temperature: of fine tokens.
        top_k: of semantic and coarse tokens: only so many of the likeliest.
        top_p: of the same: only the likeliest that add up to so much.
        min_eos_p: speech ends when its end is at least so likely; None: when drawn.
        max_seconds: speech is cut there.
        voice: the name of a voice in the model's folder.
        history: a voice of the caller's own, an .npz file.
    """

    seed: int | None = None
    temperature: float = 0.7
    fine_temperature: float = 0.5
    top_k: int | None = None
    top_p: float | None = None
    min_eos_p: float | None = 0.2
    max_seconds: float | None = None
    voice: str | None = None
    history: bytes | None = None


def parse_options(parameters: Mapping[str, Any]) -> Options:
    """Checks the parameters of a request; null is the same as absent, but that of
    min_eos_p is its own None."""
    known = [field.name for field in dataclasses.fields(Options)]
    for key in parameters:
        if key not in known:
            raise _wrong(str(key)[:40], ", ".join(known), "another name")
    values = {k: v for k, v in parameters.items() if v is not None}
    found: dict[str, Any] = {}
    for key, value in values.items():
        if key in ("seed", "top_k"):
            low, high = (0, 2**64 - 1) if key == "seed" else (1, 2**31)
            if type(value) is not int or not low <= value <= high:
                raise _wrong(key, f"a whole number from {low} to {high}", "another")
            found[key] = value
        elif key == "voice":
            if not isinstance(value, str):
                raise _wrong(key, "the name of a voice", "another type")
            found[key] = value
        elif key == "history":
            found[key] = _history(value)
        else:
            found[key] = _number(key, value)
    if "voice" in found and "history" in found:
        raise _wrong("history", "a voice or a history", "both")
    if "min_eos_p" in parameters:
        found.setdefault("min_eos_p", None)
    return Options(**found)


# What a number may be: least and largest value, and whether the least itself may.
_RANGES = {
    "temperature": (0.0, 100.0, True),
    "fine_temperature": (0.0, 100.0, True),
    "top_p": (0.0, 1.0, False),
    "min_eos_p": (0.0, 1.0, False),
    "max_seconds": (0.0, 3600.0, False),
}


def _number(key: str, value: Any) -> float:
    low, high, includes_low = _RANGES[key]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and math.isfinite(value):
        if low < value <= high or (includes_low and value == low):
            return float(value)
    least = "from" if includes_low else "above"
    raise _wrong(key, f"a number {least} {low:g}, at most {high:g}", "another")


def _history(value: Any) -> bytes:
    if isinstance(value, str) and len(value) <= _HISTORY_CHARS_MAX:
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pass
    raise _wrong("history", "an .npz file in base64", "something else")


def _wrong(key: str, expected: str, found: str) -> ExecutorError:
    return invalid_input(
        f"the parameter '{key}' cannot be used",
        field=f"parameters.{key}",
        expected=expected,
        found=found,
    )
