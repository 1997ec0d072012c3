#!/usr/bin/env python3
"""Runs Bark's third stage: coarse tokens to fine tokens, or to sound.

python3 fine_model_executor.py --model PATH --input FILE --output FILE

The input is coarse_tokens, INT64 [2, n]; the answer is fine_tokens, INT64 [8, n], or a
WAV where a codec lies beside the model, which takes fine_tokens then, too.
"""

from ncn_executor import main
from ncn_executor.bark.executor import BarkExecutor


class FineModelExecutor(BarkExecutor):
    """Coarse tokens in, fine tokens or sound out."""

    STAGES = ("fine", "codec")


if __name__ == "__main__":
    main(FineModelExecutor)
