#!/usr/bin/python3
"""Level "rewind" beside a worker that is never reset.

Prints answers, throughput, and where the time of a reset goes, as JSON. Both are
ready sandboxes of one product; level "tenant" serves request after request in one
process and resets nothing. Single requests take turns, so that what the machine does
else falls on both. Exit status 1: an answer failed or differs.
"""

import argparse
import collections
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ready import Bench

ROOT = Path(__file__).resolve().parents[1]
BENCHMARK = ROOT / "build/release/benchmarks/ready_benchmark"
REWOUND = re.compile(
    r"rewound: (\d+) pages written, (\d+) dropped, (\d+) mappings repaired, "
    r"(\d+) calls watched; "
    r"us: stop (\d+), layout (\d+), scan (\d+), write (\d+), rest (\d+)"
)
CHILD = re.compile(r"child (\d+) rewound")
STEPS = ("stop", "layout", "scan", "write", "rest")
WEIGHTS = "weights1024"  # A GiB of them.
MODELS = ("mlp_onnx", "mlp", "resnet18_onnx", "resnet18", "gpt")


class RewindBench(Bench):
    """Knows where models and inputs are."""

    def measure(self, name: str) -> dict[str, Any]:
        """One model's figures."""
        given = self._index[name][0]
        return measure(self._data / "models", name, given, self._options.runs)

    def one_more(self, name: str) -> dict[str, Any]:
        """What a further child of a model costs."""
        return one_more(self._data / "models", name)

    def soak(self, name: str) -> dict[str, Any]:
        """The same of very many rewinds of one child."""
        given = self._index[name][0]
        return soak(self._data / "models", name, given, self._options.soak)


class Worker:
    """One model, ready at one level, that answers line by line."""

    def __init__(self, models: Path, model: str, level: str, *options: str) -> None:
        self._log = tempfile.TemporaryFile("w+")
        command: list[str | Path] = [BENCHMARK, "--models", models]
        command += ["--model", model, "--level", level]
        self._process = subprocess.Popen(
            [*command, *options],
            env={**os.environ, "COMPUTE_NODE_LOG": "debug"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._process.stdin and self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        if self._stdout.readline() != "ready\n":
            raise RuntimeError(f"{model} does not become ready")

    def ask(self, *words: str | Path | float) -> dict[str, Any]:
        """What it answers to one line."""
        print(*words, file=self._stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._stdout.readline())
        return answer

    def log(self) -> str:
        """What it has logged so far."""
        with open(f"/proc/self/fd/{self._log.fileno()}", encoding="utf-8") as log:
            return log.read()

    def end(self) -> str:
        """Ends it; its log."""
        self._stdin.close()
        self._process.wait()
        self._log.seek(0)
        return self._log.read()


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


def resets(log: str, count: int | None = None) -> dict[str, Any]:
    """The steps of the first `count` resets in a log, or of all, but for a few."""
    found = [[int(word) for word in match] for match in REWOUND.findall(log)][5:count]
    if not found:
        return {"count": 0}
    columns = [statistics.median(column) for column in zip(*found)]
    totals = [sum(row[4:]) / 1000 for row in found]
    return {
        "count": len(found),
        "ms_p50": round(statistics.median(totals), 3),
        "ms_p95": round(quantile(totals, 0.95), 3),
        "pages_written": columns[0],
        "pages_dropped": columns[1],
        "calls_watched": columns[3],
        "us": dict(zip(STEPS, columns[4:])),
    }


def measure(
    models: Path, model: str, given: dict[str, str], runs: int
) -> dict[str, Any]:
    """One model's figures."""
    file, kind = models.parent / "inputs" / given["file"], given["content_type"]
    workers = {level: Worker(models, model, level) for level in ("tenant", "rewind")}
    taken: dict[str, list[float]] = {level: [] for level in workers}
    answers, failed = set(), 0
    for run in range(runs + 10):
        for level, worker in workers.items():
            answer = worker.ask("run", file, kind)
            time.sleep(0.02)  # A reset is off the critical path: let it be.
            failed += not answer["ok"]
            answers.add(answer.get("sha256"))
            if run >= 10:
                taken[level].append(answer["ms"])
    saturated: dict[str, list[dict[str, Any]]] = {level: [] for level in workers}
    # A turn of few requests says little.
    seconds = max(2.0, 20 * statistics.median(taken["tenant"]) / 1000)
    for _ in range(4):
        for level, worker in workers.items():
            saturated[level].append(
                worker.ask("saturate", file, kind, seconds, os.cpu_count() or 1)
            )
    logs = {level: worker.end() for level, worker in workers.items()}
    rate = {
        level: statistics.median(turn["requests_per_s"] for turn in turns[1:])
        for level, turns in saturated.items()
    }
    cpu = statistics.median(
        turn["cpu_ms_per_request"] for turn in saturated["rewind"][1:]
    )
    p50 = {level: statistics.median(values) for level, values in taken.items()}
    p95 = {level: quantile(values, 0.95) for level, values in taken.items()}
    return {
        "failed": failed,
        "different_answers": len(answers),
        "ms_p50": {level: round(value, 3) for level, value in p50.items()},
        "ms_p95": {level: round(value, 3) for level, value in p95.items()},
        "ratio_p50": round(p50["rewind"] / p50["tenant"], 3),
        "ratio_p95": round(p95["rewind"] / p95["tenant"], 3),
        "requests_per_s": {level: round(value, 1) for level, value in rate.items()},
        "throughput_ratio": round(rate["rewind"] / rate["tenant"], 3),
        "cpu_ms_per_request_saturated": round(cpu, 3),
        "reset_alone": resets(logs["rewind"], runs + 10),
        "reset_in_a_row": in_a_row(models, model, file, kind, runs),
        "reset_at_saturation": resets(logs["rewind"]),
        "replaced": logs["rewind"].count("is replaced"),
    }


def in_a_row(
    models: Path, model: str, file: Path, kind: str, runs: int
) -> dict[str, Any]:
    """Resets of one child, each between two requests that follow at once."""
    worker = Worker(models, model, "rewind", "--ready-max", "1")
    for _ in range(runs + 10):
        worker.ask("run", file, kind)
    return resets(worker.end())


def memory_kib(pid: int) -> dict[str, int]:
    """Its own pages, and with its part of shared ones."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    fields = dict(line.split(":") for line in text.splitlines()[1:])
    return {name: int(fields[name].split()[0]) for name in ("Pss", "Private_Dirty")}


def one_more(models: Path, model: str) -> dict[str, Any]:
    """What a further child costs, which is made from the image of the first."""
    worker = Worker(models, model, "rewind", "--ready-min", "4")
    deadline = time.monotonic() + 60
    while worker.ask("stats")["children"] < 4 and time.monotonic() < deadline:
        time.sleep(0.1)
    stats = worker.ask("stats")
    made = re.findall(r"child (\d+) made from another", worker.log())
    memory = [memory_kib(int(pid)) for pid in made]
    worker.end()
    return {
        "made_from_the_image": len(made),
        "ms": stats["load_ms"],
        "private_mib": round(max(m["Private_Dirty"] for m in memory) / 1024, 1),
    }


def soak(models: Path, model: str, given: dict[str, str], count: int) -> dict[str, Any]:
    """So many rewinds of one child: do time, memory or answers drift?"""
    file, kind = models.parent / "inputs" / given["file"], given["content_type"]
    options = ("--ready-max", "1", "--reuse-requests", str(2 * count))
    worker = Worker(models, model, "rewind", *options)
    answers, failed, taken = set(), 0, []
    memory = []
    for run in range(count + 1):
        answer = worker.ask("run", file, kind)
        failed += not answer["ok"]
        answers.add(answer.get("sha256"))
        taken.append(answer["ms"])
        if run in (max(1, count // 10), count):
            memory.append(memory_kib(int(CHILD.findall(worker.log())[-1])))
    log = worker.end()
    rewinds = CHILD.findall(log)
    totals = [sum(int(us) for us in row[4:]) / 1000 for row in REWOUND.findall(log)]
    tenth = count // 10
    return {
        "failed": failed,
        "different_answers": len(answers),
        "rewinds_of_one_child": max(collections.Counter(rewinds).values()),
        "answer_ms_p50": [
            round(statistics.median(part), 3)
            for part in (taken[tenth : 2 * tenth], taken[-tenth:])
        ],
        "reset_ms_p50": [
            round(statistics.median(part), 3)
            for part in (totals[tenth : 2 * tenth], totals[-tenth:])
        ],
        "memory_kib": memory,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=100, help="single requests of each model"
    )
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument(
        "--soak", type=int, default=0, help="instead: so many rewinds of one child"
    )
    parser.set_defaults(http_packages=ROOT)  # Not asked.
    options = parser.parse_args()
    bench = RewindBench(options)
    figures: dict[str, dict[str, Any]] = {}
    for model in options.models.split(","):
        print("measuring", model, file=sys.stderr)
        figures[model] = bench.soak(model) if options.soak else bench.measure(model)
    if not options.soak:
        for model in (*figures, WEIGHTS):
            print("one more child of", model, file=sys.stderr)
            figures.setdefault(model, {})["one_more_child"] = bench.one_more(model)
    print(json.dumps(figures, indent=2))
    wrong = any(
        f.get("failed") or f.get("different_answers", 1) != 1 for f in figures.values()
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
