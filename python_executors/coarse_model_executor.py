#!/usr/bin/env python3
"""Runs Bark's second stage: semantic tokens to coarse tokens.

python3 coarse_model_executor.py --model PATH --input FILE --output FILE

The input is semantic_tokens, INT64 [n]; the answer is coarse_tokens, INT64 [2, m], and
the input of the next stage.
"""

from ncn_executor import main
from ncn_executor.bark.executor import BarkExecutor


class CoarseModelExecutor(BarkExecutor):
    """Semantic tokens in, coarse tokens out."""

    STAGES = ("coarse",)


if __name__ == "__main__":
    main(CoarseModelExecutor)
