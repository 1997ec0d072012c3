#!/usr/bin/env python3
"""Runs Bark's first stage: text to semantic tokens.

python3 semantic_model_executor.py --model PATH --input FILE --output FILE

The input is a text, JSON with a text, or text_tokens; the answer is semantic_tokens,
INT64 [n], and the input of the next stage. A text needs vocab.txt beside the model.
"""

from ncn_executor import main
from ncn_executor.bark.executor import BarkExecutor


class SemanticModelExecutor(BarkExecutor):
    """Text in, semantic tokens out."""

    STAGES = ("semantic",)


if __name__ == "__main__":
    main(SemanticModelExecutor)
