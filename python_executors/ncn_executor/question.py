"""What a decoded request asks."""

import dataclasses

from ncn_executor.tensors import Tensors


@dataclasses.dataclass(frozen=True)
class Question:
    """The tensors of a request and what it wants to know.

    Attributes:
        tensors: by name, in the order given.
        identifier: the caller's id for this request; may be "".
        outputs: the names wanted; empty means all.
    """

    tensors: Tensors
    identifier: str = ""
    outputs: tuple[str, ...] = ()
