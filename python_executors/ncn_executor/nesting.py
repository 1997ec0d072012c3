"""Lists, tuples and dictionaries of tensors as tensors by name, and back.

An element of the list NAME is called NAME[0], of the dictionary NAME: NAME.key. A list
or a dictionary without elements, and nothing at all, have no name.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ncn_executor.errors import ErrorCode, ExecutorError, invalid_input
from ncn_executor.tensors import Tensors

LEAVES_MAX = 4096
DEPTH_MAX = 16


def flatten(name: str, value: Any) -> list[tuple[str, Any]]:
    """The names and the leaves of any value; a leaf is whatever is no container."""
    found: list[tuple[str, Any]] = []
    for leaf in _leaves(name, value, 0):
        found.append(leaf)
        if len(found) > LEAVES_MAX:
            raise _unsupported(name, f"at most {LEAVES_MAX} tensors", "more")
    return found


def elements(name: str, tensors: Tensors) -> list[Tensors]:
    """The tensors of each element of the list `name`, with their full names."""
    parts: dict[int, Tensors] = {}
    start = f"{name}["
    for full, array in tensors.items():
        if not full.startswith(start):
            continue
        number = full[len(start) :].partition("]")[0]
        if not (number.isascii() and number.isdigit() and len(number) < 6):
            raise _unnumbered(full, name)
        parts.setdefault(int(number), {})[full] = array
    if sorted(parts) != list(range(len(parts))):
        raise _unnumbered(f"{start}{max(parts)}]", name)
    return [parts[number] for number in range(len(parts))]


def members(name: str, tensors: Tensors) -> dict[str, Tensors]:
    """The tensors of each member of the dictionary `name`, with their full names."""
    parts: dict[str, Tensors] = {}
    for full, array in tensors.items():
        if full.startswith(f"{name}."):
            key = full[len(name) + 1 :]
            parts[key] = {full: array}
    return parts


def _leaves(name: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > DEPTH_MAX:
        raise _unsupported(name, f"at most {DEPTH_MAX} levels", "more")
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from _leaves(f"{name}.{key}", member, depth + 1)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for key, member in zip(value._fields, value):
            yield from _leaves(f"{name}.{key}", member, depth + 1)
    elif isinstance(value, (list, tuple)):
        for index, member in enumerate(value):
            yield from _leaves(f"{name}[{index}]", member, depth + 1)
    elif value is not None:
        yield name, value


def _unnumbered(found: str, name: str) -> ExecutorError:
    return invalid_input(
        f"the elements of '{name[:80]}' are not numbered from 0 without a gap",
        field=f"inputs.{name[:80]}",
        expected=f"{name[:80]}[0], {name[:80]}[1], …",
        found=found[:80],
    )


def _unsupported(name: str, expected: str, found: str) -> ExecutorError:
    return ExecutorError(
        ErrorCode.UNSUPPORTED_MODEL,
        f"the output '{name[:80]}' is too large a structure",
        field=f"outputs.{name[:80]}",
        expected=expected,
        found=found,
    )
