"""What the transformers share."""

from typing import Any

from ncn_executor.architectures.parameters import Parameters
from ncn_executor.errors import ErrorCode, ExecutorError, invalid_input
from ncn_executor.manifest import TensorSpec


def check_heads(parameters: Parameters) -> tuple[int, int]:
    """The parameters width and heads, of which one divides the other."""
    width, heads = parameters.size("width"), parameters.size("heads")
    if width % heads:
        raise ExecutorError(
            ErrorCode.INVALID_MANIFEST,
            "the architecture does not fit together",
            field="architecture.heads",
            expected=f"a divisor of the width, {width}",
            found=str(heads),
        )
    return width, heads


def token_spec(name: str, size: int, optional: bool = False) -> TensorSpec:
    """[N, T] whole numbers from 0 to below `size`."""
    return TensorSpec(
        name, "INT64", (-1, -1), optional=optional, minimum=0, maximum=size - 1
    )


def check_length(name: str, tokens: Any, context: int) -> None:
    """Refuses more tokens than there are positions."""
    if tokens.shape[1] > context:
        raise invalid_input(
            f"the input '{name}' is too long for the model",
            field=f"inputs.{name}.shape",
            expected=f"[any, at most {context}]",
            found=str(list(tokens.shape)),
        )


def split(x: Any, heads: int) -> Any:
    """[N, T, width] to [N, heads, T, width / heads]."""
    batch, length, width = x.shape
    return x.view(batch, length, heads, width // heads).transpose(1, 2)
