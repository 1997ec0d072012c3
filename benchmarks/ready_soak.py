"""Thousands of requests to ten models with memory for four, under random kills.

    ready_soak.py [COUNT] [--level LEVEL] [--budget-mb MB]

Makes the models and their inputs in the runtime image and starts the program
ready_soak on them, which asks, kills and compares.
"""

import argparse
import os

from ready_contenders import ROOT
from ready_data import find_image, make_models

PROGRAM = ROOT / "build" / "release" / "benchmarks" / "ready_soak"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "count", type=int, nargs="?", default=20_000, help="requests (20000)"
    )
    parser.add_argument(
        "--level",
        choices=("request", "rewind", "tenant"),
        default="request",
        help="of isolation (request)",
    )
    parser.add_argument(
        "--budget-mb",
        type=int,
        default=0,
        help="memory of the cache (four tenths of what the ten take)",
    )
    options = parser.parse_args()
    data = make_models(find_image())
    words = [data, options.count, options.level, options.budget_mb]
    os.execv(PROGRAM, [str(word) for word in (PROGRAM, *words)])


if __name__ == "__main__":
    main()
