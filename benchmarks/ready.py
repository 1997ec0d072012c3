"""How fast a model that is ready answers, beside a bare process and the plain flow.

In one run, on the same inputs, taking turns:

    bare          the call of the model alone, in a Python process of the runtime image
    worker        a Python process that holds the model and answers on a socket
    plain         a new process of generic_model_executor.py for each request
    bwrap         the same in bubblewrap
    http          FastAPI and uvicorn, of Debian packages unpacked beside the image
    ours-rewind   the node at its default level: a sandbox that is rewound
    ours-request  the node: a sandbox of its own for each request
    ours-tenant   the node: a sandbox for all requests of one tenant
    ours-cold     the node: nothing is ready

A turn is a burst of requests, one after the other, of which the first finds the
processor's caches full of the others' data, after a pause ("first"); whatever takes a
second is asked once. Ratios are given of both; targets are judged by the first of each
burst, a single request of each in turns; only the whole way, whose first request opens
the connection, by all of it. The node keeps as many sandboxes ready as a burst has
requests (--ready-min of a node).

None but the last four is a sandbox that holds a stranger's model; bwrap only hides
files. Every contender computes with one thread. Prints figures as JSON, a table to
stderr, and writes build/bench.json; --plot draws what is there.
"""

import argparse
import concurrent.futures
import contextlib
import datetime
import functools
import http.client
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ready_contenders import (
    BURST,
    ROOT,
    WORKERS,
    Bubblewrap,
    Contender,
    Http,
    Input,
    Inside,
    Ours,
    Sample,
    Trouble,
    quantiles,
)
from ready_data import find_image, make_models
from ready_report import TABLES, plot, rows_of_targets, say, show
from ready_whole_way import Network

RESULT = ROOT / "build" / "bench.json"
MODELS = ("mlp", "resnet18", "gpt", "mlp_onnx", "resnet18_onnx")
LEVELS = ("rewind", "request", "tenant", "cold")
READY = ("ours-rewind", "ours-request", "ours-tenant")
# A second or so each, so they get fewer turns.
SLOW = ("plain", "bwrap", "ours-cold")
SLICES = 2
WEIGHTS = ("weights16", "weights128", "weights1024")
REFILL_CPU_MS = {"mlp": 30, "mlp_onnx": 8}
WARM_UPS = 3
# Models whose executor is Python's and imports torch.
WITH_TORCH = ("mlp", "resnet18", "gpt")


class Bench:
    """Measures models one after the other."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._image = find_image()
        self._data = make_models(self._image)
        self._index = json.loads((self._data / "index.json").read_text())
        self.absent: dict[str, str] = {}
        self._http_packages = options.http_packages or self._unpack_http()

    def model(self, name: str) -> dict[str, Any]:
        """All figures of one model."""
        request = self._inputs(name)[0]
        with contextlib.ExitStack() as stack:
            contenders = self._start(name, stack)
            figures = self._take_turns(
                contenders, request, self._options.runs, self._options.slow_runs
            )
            result: dict[str, Any] = {
                "input_bytes": len(request.data),
                "content_type": request.content_type,
                "contenders": figures,
                "same_answers": same_answers(figures),
            }
            result["ratios"] = ratios(figures, "first_p50_ms")
            result["ratios_of_bursts"] = ratios(figures, "p50_ms")
            result["refill_cpu_ms"] = refill_cpu_ms(figures)
            result["ready"] = {
                contender: self._try(contender, contenders[contender].usage)
                for contender in ("worker", *READY)
                if contender in contenders
            }
            if name == "mlp" and "bare" in contenders:
                measure_it = functools.partial(
                    self._whole_way, name, contenders["bare"], request
                )
                result["whole_way"] = self._try("whole way", measure_it)
            if not self._options.no_saturation:
                result["saturation"] = self._saturate(name, contenders, request)
                if name in WITH_TORCH and "ours-request" in result["saturation"]:
                    asked = result["saturation"]["ours-request"]["cpu_ms_per_request"]
                    find = functools.partial(self._steps, name, request, asked)
                    result["steps"] = self._try("steps", find)
        return result

    def _steps(self, name: str, request: Input, all_ms: float) -> dict[str, float]:
        """Where the CPU time of a request with a sandbox of its own goes: medians of
        the same steps in processes without walls, as many at a time, and the rest."""
        taken: list[dict[str, float]] = []

        def drive(process: Inside) -> None:
            runs = WARM_UPS + min(self._options.runs, 20)
            taken.extend([process.run(request).steps for _ in range(runs)][WARM_UPS:])

        with contextlib.ExitStack() as stack:
            processes = [self._worker(name, "steps") for _ in range(WORKERS)]
            for process in processes:
                stack.callback(process.close)
            with concurrent.futures.ThreadPoolExecutor(WORKERS) as threads:
                list(threads.map(drive, processes))
        found = {step: statistics.median(s[step] for s in taken) for step in taken[0]}
        again = found.pop("second call")
        found["rest"] = all_ms - sum(found.values())
        found |= {"all": all_ms, "second call": again}
        return {step: round(ms, 2) for step, ms in found.items()}

    def _whole_way(self, name: str, bare: Contender, request: Input) -> dict[str, Any]:
        """From `ncn` through gateway and node to a verified result, in turns with the
        call of the model alone."""
        bursts: dict[str, list[float]] = {"bare": [], "whole way": [], "sandbox": []}
        with contextlib.closing(Network(self._data / "models", name)) as network:
            for _ in range(WARM_UPS + min(self._options.runs, 40)):
                bursts["bare"] += [bare.run(request).ms for _ in range(BURST)]
                found = network.burst(request)
                bursts["whole way"].append(found["p50_ms"])
                bursts["sandbox"].append(found["on_node_p50_ms"])
                network.settle()
        medians = {k: statistics.median(v[WARM_UPS:]) for k, v in bursts.items()}
        minus_bare = medians["whole way"] - medians["bare"]
        return {k: round(v, 3) for k, v in medians.items()} | {
            "minus_bare_ms": round(minus_bare, 3)
        }

    def sizes(self) -> list[dict[str, Any]]:
        """How the latency of `echo` grows with its input."""
        runs = min(self._options.runs, 30)
        slow_runs = min(self._options.slow_runs, 3)
        rows = []
        with contextlib.ExitStack() as stack:
            contenders = self._start("echo", stack)
            contenders.pop("bare", None)
            for request in self._inputs("echo"):
                figures = self._take_turns(contenders, request, runs, slow_runs)
                row = {"bytes": len(request.data), "content_type": request.content_type}
                same = same_answers(figures)
                rows.append({**row, "same_answers": same, "contenders": figures})
        return rows

    def growth(self) -> list[dict[str, Any]]:
        """What a ready sandbox costs, by the size of its weights and by the number of
        other models that are ready."""
        few, many = ("mlp_onnx", "echo", "gpt"), ("resnet18", "resnet18_onnx")
        cases: list[tuple[str, Sequence[str]]] = [(name, ()) for name in WEIGHTS]
        cases += [("mlp", ()), ("mlp", few), ("mlp", (*few, *many, *WEIGHTS))]
        rows = []
        models = self._data / "models"
        for name, others in cases:
            request = self._inputs(name)[0]
            options = ("--others", ",".join(others))
            with contextlib.closing(Ours(models, name, "request", *options)) as ours:
                ours.settle()  # Every model is ready; what made it so is no request's.
                ready = ours.usage()
                before = ours.cpu_ms()
                times: list[float] = []
                for _ in range(8):
                    times += [ours.run(request).ms for _ in range(BURST)]
                    ours.settle()
                cpu_ms = (ours.cpu_ms() - before) / len(times)
            file = max((models / name).iterdir(), key=lambda path: path.stat().st_size)
            rows.append(
                {
                    "model": name,
                    "others": len(others),
                    "file_mib": file.stat().st_size / 2**20,
                    "private_mib": ready.get("private_bytes_per_child", 0) / 2**20,
                    "load_ms": ready.get("load_ms"),
                    "p50_ms": statistics.median(times),
                    "cpu_ms": cpu_ms,
                }
            )
        return rows

    def cancellations(self) -> dict[str, Any]:
        """How soon the slot of a cancelled request is free."""
        request = self._inputs("gpt")[0]
        times = []
        with contextlib.closing(Ours(self._data / "models", "gpt", "request")) as ours:
            for turn in range(12):
                times.append(ours.cancel(request, 20 + 10 * turn))
                ours.settle()
        return {**quantiles(times), "max_ms": round(max(times), 3)}

    @staticmethod
    def _unpack_http() -> Path | None:
        """The Debian packages of an HTTP server; None where there is no mirror."""
        command = ROOT / "runtime_image" / "unpack_packages"
        found = subprocess.run(
            [command, "http-server", ROOT / "benchmarks" / "http-packages.txt"],
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode != 0:
            return None
        folder = Path(found.stdout.strip()) / "usr" / "lib" / "python3"
        return folder / "dist-packages"

    def _inputs(self, name: str) -> list[Input]:
        inputs = []
        for entry in self._index[name]:
            path = self._data / "inputs" / str(entry["file"])
            inputs.append(Input(path, str(entry["content_type"]), path.read_bytes()))
        return inputs

    def _worker(self, name: str, role: str) -> Inside:
        return Inside(role, self._image, self._data / "models" / name, tail=[])

    def _start(self, name: str, stack: contextlib.ExitStack) -> dict[str, Contender]:
        """Everything that can take part, ready."""
        model = self._data / "models" / name
        makers: dict[str, Callable[[], Contender]] = {
            "bare": lambda: self._worker(name, "bare"),
            "worker": lambda: self._worker(name, "worker"),
            "plain": lambda: self._worker(name, "plain"),
            "bwrap": lambda: Bubblewrap(self._image, model),
            "http": lambda: Http(self._image, model, self._http_packages),
        }
        for level in LEVELS:
            models = self._data / "models"
            makers[f"ours-{level}"] = functools.partial(Ours, models, name, level)
        contenders = {}
        for contender, make in makers.items():
            made = self._try(contender, make)
            if made is not None:
                contenders[contender] = made
                stack.callback(made.close)
        return contenders

    def _try(self, contender: str, act: Callable[[], Any]) -> Any:
        """What `act` returns; a contender that fails is absent, the rest goes on."""
        try:
            return act()
        except (Trouble, OSError, http.client.HTTPException) as trouble:
            if self.absent.get(contender) != str(trouble):
                say(f"{contender}: {trouble}")
            self.absent[contender] = str(trouble)
            return None

    def _take_turns(
        self,
        contenders: dict[str, Contender],
        request: Input,
        runs: int,
        slow_runs: int,
    ) -> dict[str, Any]:
        """Rounds in which each contender has its turn, in an order that changes."""

        def once(name: str) -> list[Sample]:
            taken = []
            for _ in range(1 if name in SLOW else BURST):
                sample = self._try(name, lambda: contenders[name].run(request))
                if sample is None:
                    taking.remove(name)
                    return []
                taken.append(sample)
            self._try(name, contenders[name].settle)
            return taken

        taking = list(contenders)
        for name in contenders:
            for _ in range(1 if name in SLOW else WARM_UPS):
                if name in taking:
                    once(name)
        samples: dict[str, list[list[Sample]]] = {name: [] for name in taking}
        before = {n: self._try(n, contenders[n].cpu_ms) for n in taking}
        every = max(runs // max(slow_runs, 1), 1)
        shuffled = random.Random(1)
        for turn in range(runs):
            slow_turn = turn % every == 0 and turn // every < slow_runs
            order = [n for n in taking if slow_turn or n not in SLOW]
            shuffled.shuffle(order)
            for name in order:
                if taken := once(name):
                    samples[name].append(taken)
        figures = {}
        for name, turns in samples.items():
            if turns and name in taking:
                every_one = [sample for taken in turns for sample in taken]
                cpu = functools.partial(
                    self._cpu_ms, contenders[name], before[name], every_one
                )
                figures[name] = summary(turns, self._try(name, cpu))
        return figures

    def _cpu_ms(
        self, contender: Contender, before: float | None, taken: list[Sample]
    ) -> float | None:
        """CPU time of one request, if the contender can tell."""
        known = [sample.cpu_ms for sample in taken if sample.cpu_ms is not None]
        if known:
            return statistics.fmean(known)
        after = contender.cpu_ms()
        if before is None or after is None:
            return None
        return (after - before) / len(taken)

    def _saturate(
        self, name: str, contenders: dict[str, Contender], request: Input
    ) -> dict[str, Any]:
        """Requests in a second with every processor busy, in slices that take turns."""
        if "worker" not in contenders:
            return {}
        workers = [contenders["worker"]]
        with contextlib.ExitStack() as stack:
            while len(workers) < WORKERS:
                more = self._worker(name, "worker")
                stack.callback(more.close)
                more.run(request)
                workers.append(more)
            slices: dict[str, list[dict[str, Any]]] = {}
            for _ in range(SLICES):
                ready = [w for w in workers if isinstance(w, Inside)]
                drive = functools.partial(
                    saturate_workers, ready, request, self._options.seconds
                )
                found = self._try("worker", drive)
                if found is None:
                    return {}
                slices.setdefault("worker", []).append(found)
                for level in READY:
                    ours = contenders.get(level)
                    if not isinstance(ours, Ours):
                        continue
                    act = functools.partial(
                        ours.saturate, request, self._options.seconds
                    )
                    answer = self._try(level, act)
                    if answer is not None:
                        slices.setdefault(level, []).append(answer)
                        self._try(level, ours.settle)
        result = {}
        for level, found_slices in slices.items():
            keys = [
                k for k, v in found_slices[0].items() if isinstance(v, (int, float))
            ]
            result[level] = {
                key: round(statistics.fmean(float(s[key]) for s in found_slices), 3)
                for key in keys
            }
        base = result["worker"]["requests_per_s"]
        for level in READY:
            if level in result:
                rate = result[level]["requests_per_s"]
                result[level]["of_worker"] = round(rate / base, 3)
        return result


def saturate_workers(
    workers: Sequence[Inside], request: Input, seconds: float
) -> dict[str, Any]:
    """One request in flight for each worker; a thread each, which costs CPU, too."""
    times: list[list[float]] = [[] for _ in workers]
    failures: list[Trouble] = []
    before = [worker.cpu_ms() for worker in workers]
    own = time.process_time()
    begun = time.perf_counter()

    def drive(worker: Inside, mine: list[float]) -> None:
        message = worker.frame(request)
        sent = time.perf_counter()
        try:
            while sent < begun + seconds:
                worker.exchange(message)
                now = time.perf_counter()
                mine.append((now - sent) * 1e3)
                sent = now
        except (Trouble, OSError) as trouble:
            failures.append(Trouble(str(trouble)))

    threads = [threading.Thread(target=drive, args=p) for p in zip(workers, times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begun
    client_ms = (time.process_time() - own) * 1e3
    if failures:
        raise failures[0]
    cpu_ms = sum(w.cpu_ms() for w in workers) - sum(before)
    every = [ms for mine in times for ms in mine]
    return {
        "requests_per_s": len(every) / took,
        **quantiles(every),
        "cpu_ms_per_request": cpu_ms / len(every),
        "client_cpu_ms_per_request": client_ms / len(every),
    }


def summary(turns: Sequence[list[Sample]], cpu_ms: float | None) -> dict[str, Any]:
    """What is kept of a contender's answers."""
    taken = [sample for answers in turns for sample in answers]
    result: dict[str, Any] = {"runs": len(taken)}
    result |= quantiles([sample.ms for sample in taken])
    first = [answers[0].ms for answers in turns]
    result["first_p50_ms"] = round(statistics.median(first), 3)
    if cpu_ms is not None:
        result["cpu_ms"] = round(cpu_ms, 3)
    result["sha256"] = sorted({sample.sha256 for sample in taken} - {""})
    steps = sorted({name for sample in taken for name in sample.steps})
    if steps:
        result["steps_p50_ms"] = {
            name: round(statistics.median(s.steps.get(name, 0.0) for s in taken), 4)
            for name in steps
        }
    return result


def same_answers(figures: dict[str, Any]) -> bool:
    """Whether all that gave bytes gave the same ones, each time."""
    hashes = {h for one in figures.values() for h in one["sha256"]}
    return len(hashes) == 1


def ratios(figures: dict[str, Any], statistic: str) -> dict[str, float]:
    """The node beside the worker and beside the plain flow, by this statistic."""
    result = {}
    for level in LEVELS:
        ours = figures.get(f"ours-{level}")
        if not ours:
            continue
        for other, upside_down in (("worker", False), ("plain", True)):
            if other not in figures:
                continue
            above, below = ours[statistic], figures[other][statistic]
            name = f"ours-{level}/{other}"
            if upside_down:
                above, below, name = below, above, f"{other}/ours-{level}"
            result[name] = round(above / max(below, 1e-6), 3)
    return result


def refill_cpu_ms(figures: dict[str, Any]) -> float | None:
    """What a sandbox of its own costs more than one that stays."""
    levels = ("ours-request", "ours-tenant")
    costs = [figures.get(level, {}).get("cpu_ms") for level in levels]
    if costs[0] is None or costs[1] is None:
        return None
    return round(float(costs[0]) - float(costs[1]), 3)


def targets(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Every target that was measured, and whether it is met."""
    found: list[dict[str, Any]] = []

    def judge(model: str, what: str, value: float, low: float, high: float) -> None:
        bound = f"<= {high:g}" if math.isinf(low) else f">= {low:g}"
        met = low <= value <= high
        entry = {"model": model, "what": what, "value": round(value, 3)}
        found.append({**entry, "target": bound, "met": met})

    for row in figures.get("growth", ()):
        if row["model"] == "weights1024":
            judge(row["model"], "private MiB of one", row["private_mib"], -math.inf, 64)
    if cancelled := figures.get("cancellations"):
        judge("gpt", "slot free after ms, at most", cancelled["max_ms"], -math.inf, 50)
    for name, model in figures["models"].items():
        refill = model.get("refill_cpu_ms")
        if refill is not None and name in REFILL_CPU_MS:
            judge(name, "refill, CPU ms", refill, -math.inf, REFILL_CPU_MS[name])
        is_mlp = name.startswith("mlp")
        timed = model["contenders"]
        for level in READY:
            if level in timed and "worker" in timed:
                ours, worker = (timed[one]["first_p50_ms"] for one in (level, "worker"))
                if is_mlp:
                    what = f"{level} - worker, ms"
                    judge(name, what, ours - worker, -math.inf, 0.3)
                else:
                    judge(name, f"{level} / worker", ours / worker, -math.inf, 1.05)
            # A process that imports only onnxruntime is ready too soon for this one.
            if name == "mlp" and level in timed and "plain" in timed:
                ratio = model["ratios"][f"plain/{level}"]
                judge(name, f"plain / {level}", ratio, 1000, math.inf)
        if way := model.get("whole_way"):
            judge(name, "whole way - bare, ms", way["minus_bare_ms"], -math.inf, 3)
        bounds = {"ours-tenant": 0.9}
        if name == "gpt":
            bounds["ours-request"] = 0.65
        elif name.startswith("resnet18"):
            bounds["ours-request"] = 0.22
        for level, bound in bounds.items():
            share = model.get("saturation", {}).get(level, {}).get("of_worker")
            if share is not None:
                judge(name, f"throughput of {level} / worker", share, bound, math.inf)
    return found


def machine() -> dict[str, Any]:
    name = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.split(":", 1)[1].strip()
            break
    load = round(os.getloadavg()[0], 2)
    return {"processor": name, "cores": os.cpu_count(), "load_before": load}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    bench = Bench(options)
    figures: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "runs": options.runs,
        "slow_runs": options.slow_runs,
        "models": {},
        "sizes": [],
    }
    for name in options.models:
        say(f"measuring {name}")
        figures["models"][name] = bench.model(name)
    if not options.quick:
        say("measuring sizes")
        figures["sizes"] = bench.sizes()
        say("measuring growth and cancellations")
        figures["growth"] = bench.growth()
        figures["cancellations"] = bench.cancellations()
    figures["absent"] = bench.absent
    figures["targets"] = targets(figures)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100, help="of each contender (100)")
    parser.add_argument(
        "--slow-runs", type=int, default=10, help=f"of {', '.join(SLOW)} (10)"
    )
    parser.add_argument(
        "--models",
        type=lambda text: text.split(","),
        default=list(MODELS),
        help=f"some of {','.join(MODELS)}",
    )
    parser.add_argument("--quick", action="store_true", help="without the row of sizes")
    parser.add_argument("--no-saturation", action="store_true")
    parser.add_argument(
        "--seconds", type=float, default=5, help=f"of saturation, {SLICES} times (5)"
    )
    parser.add_argument(
        "--http-packages", type=Path, help="a folder that has FastAPI and uvicorn"
    )
    parser.add_argument(
        "--plot", action="store_true", help="draw build/bench.json; measure nothing"
    )
    options = parser.parse_args()
    unknown = set(options.models) - set(MODELS)
    if unknown:
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    if options.runs < 1 or options.slow_runs < 1:
        parser.error("at least 1 run, please")
    if options.plot:
        if not RESULT.is_file():
            sys.exit(f"Error: there is no {RESULT}; measure first")
        plot(json.loads(RESULT.read_text()), __doc__ or "")
        return
    figures = measure(options)
    text = json.dumps(figures, indent=2)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text + "\n")
    say("")
    for table in (*TABLES, rows_of_targets):
        show(table(figures))
    same = {name: model["same_answers"] for name, model in figures["models"].items()}
    if figures["sizes"]:
        same["echo"] = all(row["same_answers"] for row in figures["sizes"])
    for name, are_same in same.items():
        say(f"{name}: answers are {'' if are_same else 'NOT '}identical")
    if not figures["targets"]:
        say("no target was measured")
    print(text)
    met = all(one["met"] for one in figures["targets"])
    sys.exit(0 if met and all(same.values()) else 1)


if __name__ == "__main__":
    main()
