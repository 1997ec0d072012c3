"""ONNX models on the native executor and on the generic one, beside a bare call.

In one run, on the same inputs, taking turns; see ready.py for what a turn is:

    bare            the call of ONNX Runtime alone, in a Python process
    worker          a Python process that holds the model and answers on a socket
    native, python  the node at its default level: a sandbox that is rewound, so as it
                    was when it was new
    ...-request     the same with a process and walls of its own for each request
    ...-tenant      the same with a sandbox for all requests of one tenant

Prints figures as JSON and a table to stderr. "refill" is the CPU time that a sandbox as
new for each request costs more than one that stays: a rewind, or fork, layers, load and
teardown. The second request of a turn waits for one. Exit status 1: the MLP missed a
target.
"""

import argparse
import contextlib
import functools
import json
import sys
from pathlib import Path
from collections.abc import Callable
from typing import Any

from ready import Bench, same_answers
from ready_contenders import Contender, Ours
from ready_report import say

EXECUTORS = {"native": "ncn_native_executor", "python": "generic_model_executor.py"}
MODELS = ("mlp_onnx", "resnet18_onnx")
P50_FACTOR, P50_MORE_MS = 1.2, 0.3
CPU_MS_MAX, REFILL_MS_MAX, PRIVATE_MIB_MAX = 3.0, 8.0, 8.0


class NativeBench(Bench):
    """Both executors at three levels."""

    def measure(self, name: str) -> dict[str, Any]:
        """The figures of one model, by contender."""
        request = self._inputs(name)[0]
        with contextlib.ExitStack() as stack:
            contenders = self._start(name, stack)
            figures = self._take_turns(contenders, request, self._options.runs, 0)
            for contender, made in contenders.items():
                if isinstance(made, Ours):
                    ready_ones = made.usage()
                    private = ready_ones.get("private_bytes_per_child", 0)
                    figures[contender]["private_mib"] = round(private / 2**20, 2)
        for executor in EXECUTORS:
            kept = figures[f"{executor}-tenant"]
            for fresh in (figures[executor], figures[f"{executor}-request"]):
                fresh["refill_cpu_ms"] = round(fresh["cpu_ms"] - kept["cpu_ms"], 2)
        return figures

    def _start(self, name: str, stack: contextlib.ExitStack) -> dict[str, Contender]:
        makers: dict[str, Callable[[], Contender]] = {
            role: functools.partial(self._worker, name, role)
            for role in ("bare", "worker")
        }
        models = self._data / "models"
        for executor, program in EXECUTORS.items():
            for level in ("rewind", "request", "tenant"):
                suffix = "" if level == "rewind" else f"-{level}"
                makers[f"{executor}{suffix}"] = functools.partial(
                    Ours, models, name, level, "--executor", program
                )
        contenders = {}
        for contender, make in makers.items():
            contenders[contender] = make()
            stack.callback(contenders[contender].close)
        return contenders


def targets(figures: dict[str, Any]) -> list[tuple[str, float, float]]:
    """What the MLP has to reach: name, value, at most."""
    native = figures["native"]
    bound = P50_FACTOR * figures["bare"]["p50_ms"] + P50_MORE_MS
    return [
        ("p50 ms", native["p50_ms"], round(bound, 3)),
        ("CPU ms of a request, refill included", native["cpu_ms"], CPU_MS_MAX),
        (
            "CPU ms of a refill at level request",
            figures["native-request"]["refill_cpu_ms"],
            REFILL_MS_MAX,
        ),
        ("private MiB of a ready child", native["private_mib"], PRIVATE_MIB_MAX),
    ]


def show(name: str, figures: dict[str, Any]) -> None:
    columns = "p50_ms p95_ms again_p50_ms cpu_ms refill_cpu_ms private_mib".split()
    say(f"\n{name:16}" + "".join(f"{column:>15}" for column in columns))
    for contender, row in figures.items():
        cells = [f"{row[c]:>15.3f}" if c in row else f"{'':>15}" for c in columns]
        say(f"{contender:16}" + "".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100, help="of each contender (100)")
    parser.add_argument(
        "--models",
        type=lambda text: text.split(","),
        default=list(MODELS),
        help=f"some of {','.join(MODELS)}",
    )
    parser.set_defaults(http_packages=Path("/"))  # Not asked.
    options = parser.parse_args()
    bench = NativeBench(options)
    found = {}
    for name in options.models:
        found[name] = bench.measure(name)
        show(name, found[name])
    missed = 0
    for what, value, bound in targets(found["mlp_onnx"]) if "mlp_onnx" in found else []:
        say(
            f"{'met' if value <= bound else 'MISSED':8}{what}: {value}, at most {bound}"
        )
        missed += value > bound
    same = {name: same_answers(figures) for name, figures in found.items()}
    for name, are_same in same.items():
        say(f"{name}: answers are {'' if are_same else 'NOT '}identical")
    print(json.dumps(found, indent=2))
    sys.exit(1 if missed or not all(same.values()) else 0)


if __name__ == "__main__":
    main()
