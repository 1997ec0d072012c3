"""What a decoded request asks."""

import dataclasses
from collections.abc import Mapping

from ncn_executor.tensors import Tensors


@dataclasses.dataclass(frozen=True)
class Question:
    """The tensors of a request and what it wants to know.

    Attributes:
        tensors: by name, in the order given.
        identifier: the caller's id for this request; may be "".
        outputs: the names wanted; empty means all.
        all_binary: whether outputs go behind the JSON, as bytes.
        binary: the same of single outputs, by name.
    """

    tensors: Tensors
    identifier: str = ""
    outputs: tuple[str, ...] = ()
    all_binary: bool = False
    binary: Mapping[str, bool] = dataclasses.field(default_factory=dict)
