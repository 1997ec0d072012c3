"""What is wrong with a file of weights, in words."""

from pathlib import Path
from typing import Any

import torch

from ncn_executor.errors import (
    ErrorCode,
    ExecutorError,
    first_line,
    is_out_of_memory,
)


def check_finite(path: Path, name: str, weight: Any) -> None:
    """A sum reads a weight once; only a suspicious one is looked at closely."""
    if not weight.is_floating_point() or torch.isfinite(weight.sum()):
        return
    if not torch.isfinite(weight).all():
        raise invalid_file(
            path,
            "has a weight that is not a number",
            "finite numbers",
            "NaN" if torch.isnan(weight).any() else "Infinity",
            field=f"weights.{name}",
        )


def unreadable(path: Path, error: Exception) -> Exception:
    """What to raise for a file that a library refuses."""
    if is_out_of_memory(error) or "Permission denied" in str(error):
        return error
    what = f"cannot be loaded: {first_line(error)}"
    return invalid_file(path, what, "a whole file", "one that cannot be read")


def invalid_file(
    path: Path, what: str, expected: str, found: str, *, field: str = "model"
) -> ExecutorError:
    return ExecutorError(
        ErrorCode.INVALID_MODEL,
        f"{path.name} {what}",
        field=field,
        expected=expected,
        found=found,
        path=str(path),
    )
