#!/usr/bin/env python3
"""Runs all of Bark: text to speech.

python3 bark_model_executor.py --model PATH --input FILE --output FILE

The input is a text, JSON with a text, or the tokens of any stage; the answer is a WAV
where the model has a codec, else fine_tokens, INT64 [8, n].
"""

from ncn_executor import main
from ncn_executor.bark.executor import BarkExecutor


class BarkModelExecutor(BarkExecutor):
    """Text in, sound out."""

    STAGES = ("semantic", "coarse", "fine", "codec")


if __name__ == "__main__":
    main(BarkModelExecutor)
