"""How fast a model that is ready answers, beside a bare process and the plain flow.

In one run, on the same inputs, taking turns:

    bare          the call of the model alone, in a Python process of the runtime image
    worker        a Python process that holds the model and answers on a socket
    plain         a new process of generic_model_executor.py for each request
    bwrap         the same in bubblewrap
    http          FastAPI and uvicorn, where the image or --http-packages has them
    ours-request  the node: a sandbox of its own for each request
    ours-tenant   the node: a sandbox for all requests of one tenant
    ours-cold     the node: nothing is ready

A turn is a burst of requests, one after the other, of which the first finds the
processor's caches full of the others' data, after a pause ("first"); whatever takes a
second is asked once. Ratios and targets are those of all of them. The node keeps as
many sandboxes ready as a burst has requests (--ready-min of a node).

None but the last three is a sandbox that holds a stranger's model; bwrap only hides
files. Every contender computes with one thread. Prints figures as JSON, a table to
stderr, and writes build/bench.json; --plot draws what is there.
"""

import argparse
import contextlib
import dataclasses
import datetime
import functools
import hashlib
import html
import http.client
import json
import math
import os
import platform
import random
import select
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "build" / "release" / "benchmarks" / "ready_benchmark"
RESULT = ROOT / "build" / "bench.json"
DOCS = ROOT / "docs"
MODELS = ("mlp", "resnet18", "gpt", "mlp_onnx", "resnet18_onnx")
LEVELS = ("request", "tenant", "cold")
# A second or so each, so they get fewer turns.
SLOW = ("plain", "bwrap", "ours-cold")
WORKERS = 2
IN_FLIGHT = WORKERS  # A node's own default: as many slots as cores.
BURST = 4
SLICES = 2
WARM_UPS = 3
SETTLE_SECONDS_MAX, SETTLED_SECONDS = 10.0, 0.1
START_SECONDS_MAX = 180.0
PREFIX = struct.Struct("<IQ")
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LC_ALL": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": "/app/python_executors",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NCN_THREADS": "1",
    "UCX_LOG_LEVEL": "fatal",
}


class Trouble(Exception):
    """Why a contender cannot take part."""


@dataclasses.dataclass(frozen=True)
class Input:
    """One request, the same for every contender."""

    path: Path
    content_type: str
    data: bytes


@dataclasses.dataclass(frozen=True)
class Sample:
    """One answer; what a contender does not know stays empty."""

    ms: float
    cpu_ms: float | None = None
    sha256: str = ""
    steps: dict[str, float] = dataclasses.field(default_factory=dict)


class Contender:
    """Something that answers requests for one model."""

    def run(self, request: Input) -> Sample:
        raise NotImplementedError

    def settle(self) -> None:
        """Waits until the next contender has the machine for itself."""

    def cpu_ms(self) -> float | None:
        """CPU time so far, where the contender knows it better than its samples."""
        return None

    def usage(self) -> dict[str, Any]:
        """What it costs to be ready."""
        return {}

    def close(self) -> None:
        """Ends its processes."""


def sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def image_command(image: Path, *options: str) -> list[str]:
    """bubblewrap as chroot: the image as root, the project's Python in /app."""
    return (
        ["bwrap", "--ro-bind", str(image), "/", "--proc", "/proc", "--dev", "/dev"]
        + ["--tmpfs", "/tmp", "--tmpfs", "/app", "--tmpfs", "/model"]
        + ["--ro-bind", str(ROOT / "python_executors"), "/app/python_executors"]
        + ["--ro-bind", str(ROOT / "benchmarks"), "/app/benchmarks"]
        + ["--die-with-parent", *options, "--"]
    )


class Inside(Contender):
    """A process of ready_worker.py; see there for its roles."""

    def __init__(
        self, role: str, image: Path, model: Path, *options: str, tail: Sequence[str]
    ) -> None:
        ours, theirs = socket.socketpair()
        self._socket = ours
        command = image_command(
            image, "--tmpfs", "/work", "--ro-bind", str(model), "/model/it", *options
        )
        command += ["/usr/bin/python3", "-s", "/app/benchmarks/ready_worker.py", role]
        command += ["--model", "/model/it", "--descriptor", str(theirs.fileno()), *tail]
        with theirs:
            self._process = subprocess.Popen(
                command,
                env=ENVIRONMENT,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        try:
            self.receive()
        except Trouble:
            self._process.kill()
            said = self._process.communicate()[1].strip().splitlines()
            raise Trouble(said[-1] if said else "it ended at once") from None

    def run(self, request: Input) -> Sample:
        message = self.frame(request)
        begun = time.perf_counter()
        self._socket.sendall(message)
        header, body = self.receive()
        ms = (time.perf_counter() - begun) * 1e3
        if header.get("status") != "ok":
            raise Trouble(str(header.get("error")))
        # Those that measure themselves know better.
        found = sha256(body) if len(body) else ""
        return Sample(header.get("ms", ms), header.get("cpu_ms"), found)

    def cpu_ms(self) -> float:
        return float(self._tell("cpu")["cpu_ms"])

    def usage(self) -> dict[str, Any]:
        return {"private_bytes": self._tell("usage")["private_bytes"]}

    def _tell(self, what: str) -> dict[str, Any]:
        self._socket.sendall(pack({"do": what}, b""))
        return self.receive()[0]

    def close(self) -> None:
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.communicate()

    def frame(self, request: Input) -> bytes:
        return pack({"do": "run", "content_type": request.content_type}, request.data)

    def receive(self) -> tuple[dict[str, Any], memoryview]:
        data = self._socket.recv(1 << 16)
        while 0 < len(data) < PREFIX.size:
            data += self._socket.recv(1 << 16)
        if not data:
            raise Trouble("the process ended")
        header_bytes, body_bytes = PREFIX.unpack_from(data)
        whole = memoryview(data)
        if len(data) < PREFIX.size + header_bytes + body_bytes:
            whole = memoryview(bytearray(PREFIX.size + header_bytes + body_bytes))
            whole[: len(data)] = data
            have = len(data)
            while have < len(whole):
                count = self._socket.recv_into(whole[have:])
                if not count:
                    raise Trouble("the process ended")
                have += count
        header = json.loads(bytes(whole[PREFIX.size : PREFIX.size + header_bytes]))
        return header, whole[PREFIX.size + header_bytes :]

    def exchange(self, message: bytes) -> None:
        """Sends a frame and reads the answer; for saturation."""
        self._socket.sendall(message)
        if self.receive()[0].get("status") != "ok":
            raise Trouble("a request failed at saturation")


def pack(header: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return PREFIX.pack(len(text), len(body)) + text + body


class Bubblewrap(Contender):
    """The plain flow, each request in bubblewrap, with the files in a tmpfs."""

    def __init__(self, image: Path, model: Path) -> None:
        self._work = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="ready."))
        self._command = image_command(
            image,
            *("--unshare-all", "--ro-bind", str(model), "/model/it"),
            *("--bind", str(self._work), "/work", "--chdir", "/work"),
        )
        self._command += ["/usr/bin/python3", "-s"]
        self._command += ["/app/python_executors/generic_model_executor.py"]
        self._command += ["--model", "/model/it", "--input", "/work/input"]
        self._command += ["--output", "/work/output"]

    def run(self, request: Input) -> Sample:
        environment = {**ENVIRONMENT, "NCN_CONTENT_TYPE": request.content_type}
        begun = time.perf_counter()
        (self._work / "input").write_bytes(request.data)
        done = subprocess.run(
            self._command, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise Trouble(done.stderr.strip()[-500:])
        answer = (self._work / "output").read_bytes()
        ms = (time.perf_counter() - begun) * 1e3
        return Sample(ms, sha256=sha256(answer))

    def close(self) -> None:
        shutil.rmtree(self._work)


class Connection(http.client.HTTPConnection):
    """HTTP on a socket of the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


class Http(Contender):
    """FastAPI, with one connection that stays open."""

    def __init__(self, image: Path, model: Path, packages: Path | None) -> None:
        self._folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="ready."))
        options = ["--bind", str(self._folder), "/work"]
        if packages is not None:
            options += ["--ro-bind", str(packages), "/app/packages"]
            path = "/app/python_executors:/app/packages"
            options += ["--setenv", "PYTHONPATH", path]
        tail = ["--socket", "/work/socket"]
        try:
            self._server = Inside("http", image, model, *options, tail=tail)
        except Trouble as trouble:
            shutil.rmtree(self._folder)
            if "No module named" in str(trouble):
                raise Trouble("not in the image") from None
            raise
        self._connection = Connection(self._folder / "socket")
        deadline = time.monotonic() + START_SECONDS_MAX
        while not (self._folder / "socket").exists() and time.monotonic() < deadline:
            time.sleep(0.05)

    def run(self, request: Input) -> Sample:
        headers = {"Content-Type": request.content_type}
        begun = time.perf_counter()
        self._connection.request("POST", "/", request.data, headers)
        answer = self._connection.getresponse()
        body = answer.read()
        ms = (time.perf_counter() - begun) * 1e3
        if answer.status != 200:
            raise Trouble(f"HTTP status {answer.status}")
        return Sample(ms, None, sha256(body))

    def cpu_ms(self) -> float:
        self._connection.request("GET", "/cpu")
        return float(json.loads(self._connection.getresponse().read())["cpu_ms"])

    def close(self) -> None:
        self._connection.close()
        self._server._process.terminate()
        self._server.close()
        shutil.rmtree(self._folder)


class Ours(Contender):
    """ready_benchmark, which answers each line with a line."""

    def __init__(self, models: Path, model: str, level: str) -> None:
        if not PROGRAM.is_file():
            raise Trouble(f"{PROGRAM.relative_to(ROOT)} is not built")
        self._log = ROOT / "build" / "logs" / f"ready_benchmark_{level}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        command = [str(PROGRAM), "--models", str(models), "--model", model]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*command, "--level", level, "--ready-min", str(BURST)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._rest = b""
        try:
            if (line := self._line(START_SECONDS_MAX)) != "ready":
                raise Trouble(f"ready_benchmark said '{line}' instead of 'ready'")
            self._children = self.usage().get("children")
        except Trouble:
            self.close()
            raise

    def run(self, request: Input) -> Sample:
        answer = self._ask(f"run {request.path} {request.content_type}")
        if not answer.get("ok"):
            raise Trouble(f"ready_benchmark answered {json.dumps(answer)[:300]}")
        steps = answer.get("steps") or {}
        return Sample(float(answer["ms"]), None, str(answer.get("sha256", "")), steps)

    def settle(self) -> None:
        """Waits until as many children are ready as at first, and nothing computes."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while time.monotonic() < deadline:
            before = self.cpu_ms()
            time.sleep(SETTLED_SECONDS)
            # The kernel counts in steps of 10 ms.
            if self.cpu_ms() - before <= 10 and self._children_ready():
                return

    def _children_ready(self) -> bool:
        first = self._children
        children = self._ask("stats").get("children", 0)
        return not isinstance(first, int) or int(children) >= first

    def cpu_ms(self) -> float:
        """Of all its processes, the making of new children included."""
        return tree_cpu_ms(self._process.pid)

    def usage(self) -> dict[str, Any]:
        found = self._ask("stats")
        if "memory_bytes" in found and found.get("children"):
            each = found["memory_bytes"] / found["children"]
            found.setdefault("private_bytes_per_child", round(each))
        return found

    def saturate(self, request: Input, seconds: float) -> dict[str, Any]:
        words = f"{request.path} {request.content_type} {seconds:g} {IN_FLIGHT}"
        return self._ask(f"saturate {words}", seconds + 60)

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, line: str, seconds: float = 60) -> dict[str, Any]:
        assert self._process.stdin
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._ended() from None
        text = self._line(seconds)
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Trouble(f"ready_benchmark answered '{text[:200]}', which is no JSON")
        return answer

    def _line(self, seconds: float) -> str:
        assert self._process.stdout
        deadline = time.monotonic() + seconds
        while b"\n" not in self._rest:
            left = max(deadline - time.monotonic(), 0)
            if not select.select([self._process.stdout], [], [], left)[0]:
                raise Trouble(f"ready_benchmark said nothing for {seconds:g} s")
            chunk = os.read(self._process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise self._ended()
            self._rest += chunk
        line, self._rest = self._rest.split(b"\n", 1)
        return line.decode(errors="replace").strip()

    def _ended(self) -> Trouble:
        said = self._log.read_text(errors="replace").strip().splitlines()
        last = said[-1] if said else "no word"
        return Trouble(f"ready_benchmark ended: {last[:300]}")


def tree_cpu_ms(root: int) -> float:
    """CPU time of a process, of those below it, and of those they have waited for."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text(errors="replace").rsplit(")", 1)[1].split()
            pid = int(path.parent.name)
            parents[pid] = int(fields[1])
            ticks[pid] = sum(int(field) for field in fields[11:15])
    total = 0
    for pid in ticks:
        above: int | None = pid
        while above is not None and above != root:
            above = parents.get(above)
        total += ticks[pid] if above == root else 0
    return total * 1e3 / os.sysconf("SC_CLK_TCK")


def quantiles(times: Sequence[float]) -> dict[str, float]:
    ordered = sorted(times)

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = math.floor(place)
        high = min(low + 1, len(ordered) - 1)
        return round(ordered[low] + (ordered[high] - ordered[low]) * (place - low), 3)

    return {"p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99)}


class Bench:
    """Measures models one after the other."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        build = [str(ROOT / "runtime_image" / "build"), "--print-path"]
        found = subprocess.run(build, capture_output=True, text=True, check=False)
        if found.returncode != 0:
            sys.exit(f"Error: there is no runtime image: {found.stderr.strip()}")
        self._image = Path(found.stdout.strip())
        self._data = self._make_models()
        self._index = json.loads((self._data / "index.json").read_text())
        self.absent: dict[str, str] = {}

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
            result["ratios"] = ratios(figures)
            result["refill_cpu_ms"] = refill_cpu_ms(figures)
            result["ready"] = {
                contender: self._try(contender, contenders[contender].usage)
                for contender in ("worker", "ours-request", "ours-tenant")
                if contender in contenders
            }
            if not self._options.no_saturation:
                result["saturation"] = self._saturate(name, contenders, request)
        return result

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

    def _make_models(self) -> Path:
        """The models, made once for this image and this recipe."""
        recipe = (ROOT / "benchmarks" / "ready_models.py").read_bytes()
        key = sha256(recipe + str(self._image).encode())[:16]
        folder = ROOT / "build" / "ready_models" / key
        if folder.is_dir():
            return folder
        say("making the models")
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix="partial."))
        command = image_command(
            self._image, "--tmpfs", "/work", "--bind", str(partial), "/work/out"
        )
        command += ["/usr/bin/python3", "-s", "-W", "ignore"]
        command += ["/app/benchmarks/ready_models.py", "/work/out"]
        done = subprocess.run(
            command, env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            sys.exit(f"Error: the models cannot be made:\n{done.stderr[-2000:]}")
        return partial.rename(folder)

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
            "http": lambda: Http(self._image, model, self._options.http_packages),
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
                for level in ("ours-request", "ours-tenant"):
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
        for level in ("ours-request", "ours-tenant"):
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


def ratios(figures: dict[str, Any]) -> dict[str, float]:
    """The node beside the worker and beside the plain flow, by the medians."""
    result = {}
    for level in LEVELS:
        ours = figures.get(f"ours-{level}")
        if not ours:
            continue
        for other, upside_down in (("worker", False), ("plain", True)):
            if other not in figures:
                continue
            above, below = ours["p50_ms"], figures[other]["p50_ms"]
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


def targets(models: dict[str, Any]) -> list[dict[str, Any]]:
    """Every target that was measured, and whether it is met."""
    found: list[dict[str, Any]] = []

    def judge(model: str, what: str, value: float, low: float, high: float) -> None:
        bound = f"<= {high:g}" if math.isinf(low) else f">= {low:g}"
        met = low <= value <= high
        entry = {"model": model, "what": what, "value": round(value, 3)}
        found.append({**entry, "target": bound, "met": met})

    for name, model in models.items():
        is_mlp = name.startswith("mlp")
        figures = model["contenders"]
        for level in ("ours-request", "ours-tenant"):
            if level in figures and "worker" in figures:
                ours, worker = figures[level]["p50_ms"], figures["worker"]["p50_ms"]
                if is_mlp:
                    what = f"{level} - worker, ms"
                    judge(name, what, ours - worker, -math.inf, 0.3)
                else:
                    ratio = model["ratios"][f"{level}/worker"]
                    judge(name, f"{level} / worker", ratio, -math.inf, 1.05)
            # A process that imports only onnxruntime is ready too soon for this one.
            if name == "mlp" and level in figures and "plain" in figures:
                ratio = model["ratios"][f"plain/{level}"]
                judge(name, f"plain / {level}", ratio, 1000, math.inf)
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


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def number(value: Any, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) else "-"


def machine() -> dict[str, Any]:
    name = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.split(":", 1)[1].strip()
            break
    load = round(os.getloadavg()[0], 2)
    return {"processor": name, "cores": os.cpu_count(), "load_before": load}


def rows_of_latency(figures: dict[str, Any]) -> list[list[str]]:
    rows = [["model", "contender", "p50 ms", "p95 ms", "p99 ms", "first ms", "runs"]]
    rows[0] += ["CPU ms"]
    for name, model in figures["models"].items():
        for contender, one in model["contenders"].items():
            times = [number(one[f"p{part}_ms"], 3) for part in (50, 95, 99)]
            times += [number(one.get("first_p50_ms"), 3), str(one["runs"])]
            rows.append([name, contender, *times, number(one.get("cpu_ms"))])
        for contender, why in figures["absent"].items():
            if contender not in model["contenders"]:
                rows.append([name, contender, why, "", "", "", "", ""])
    return rows


def rows_of_ratios(figures: dict[str, Any]) -> list[list[str]]:
    rows = [["model", "ratio of medians", "value"]]
    for name, model in figures["models"].items():
        rows += [[name, what, number(v, 3)] for what, v in model["ratios"].items()]
    return rows


def rows_of_saturation(figures: dict[str, Any]) -> list[list[str]]:
    rows = [["model", "contender", "requests/s", "of worker", "p50 ms", "p95 ms"]]
    rows[0] += ["CPU ms", "MiB each", "refill CPU ms"]
    for name, model in figures["models"].items():
        for contender, one in model.get("saturation", {}).items():
            ready = model["ready"].get(contender) or {}
            memory = ready.get("private_bytes_per_child", ready.get("private_bytes"))
            mib = number(memory / 2**20, 1) if memory is not None else "-"
            refill = ready.get("refill_cpu_ms")
            if refill is None and contender == "ours-request":
                refill = model.get("refill_cpu_ms")
            rows.append(
                [name, contender, number(one["requests_per_s"], 1)]
                + [number(one.get("of_worker"))]
                + [number(one.get("p50_ms")), number(one.get("p95_ms"))]
                + [number(one.get("cpu_ms_per_request")), mib]
                + [number(refill, 1)]
            )
    return rows


def rows_of_sizes(figures: dict[str, Any]) -> list[list[str]]:
    names = [n for row in figures["sizes"] for n in row["contenders"]]
    names = list(dict.fromkeys(names))
    rows = [["bytes", "form", *(f"{name} p50 ms" for name in names)]]
    for row in figures["sizes"]:
        form = "JSON" if row["content_type"].endswith("json") else "safetensors"
        medians = [row["contenders"].get(name, {}).get("p50_ms") for name in names]
        rows.append([str(row["bytes"]), form, *(number(m, 3) for m in medians)])
    return rows


def rows_of_targets(figures: dict[str, Any]) -> list[list[str]]:
    rows = [["model", "target", "value", "wanted", "met"]]
    for one in figures["targets"]:
        met = "yes" if one["met"] else "NO"
        rows.append(
            [one["model"], one["what"], number(one["value"], 3), one["target"], met]
        )
    return rows


TABLES = (rows_of_latency, rows_of_ratios, rows_of_saturation, rows_of_sizes)


def show(rows: list[list[str]]) -> None:
    """Columns as wide as they need to be; a reason runs over its neighbours."""
    if len(rows) < 2:
        return
    wide = [
        max(len(row[i]) for row in rows if row[-1] or i < 2)
        for i in range(len(rows[0]))
    ]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, wide)).rstrip())
    say("")


def in_markdown(rows: list[list[str]]) -> str:
    if len(rows) < 2:
        return "Not measured.\n"
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


COLORS = {
    "bare": "#9aa5b1",
    "worker": "#3e7cb1",
    "plain": "#c8553d",
    "bwrap": "#e09f3e",
    "http": "#8e6c8a",
    "ours-request": "#2a9d5c",
    "ours-tenant": "#7bc47f",
    "ours-cold": "#1b6b43",
}
FONT = "font-family='sans-serif' font-size='12'"


def svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:g} {height:g}' "
        f"width='{width:g}' height='{height:g}' {FONT} role='img'>\n"
        f"<title>{html.escape(title)}</title>\n"
        "<rect width='100%' height='100%' fill='white'/>\n"
        + label(10, 22, title, "font-weight='bold' font-size='14'")
        + "".join(parts)
        + "</svg>\n"
    )


def label(x: float, y: float, text: str, how: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' {how}>{html.escape(text)}</text>\n"


def decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around all values."""
    low = math.floor(math.log10(min(values)))
    return low, max(math.ceil(math.log10(max(values))), low + 1)


def bars(title: str, unit: str, groups: dict[str, dict[str, float]]) -> str:
    """A bar for each contender, below the name of each model; the scale is logarithmic.

    Returns:
        The chart; empty when there is nothing to show.
    """
    values = [v for group in groups.values() for v in group.values() if v > 0]
    if not values:
        return ""
    left, span, y = 110.0, 520.0, 52.0
    low, high = decades(values)
    parts = []
    for name, group in groups.items():
        parts.append(label(10, y, name, "font-weight='bold'"))
        for contender, value in group.items():
            y += 18
            share = (math.log10(max(value, 10**low)) - low) / (high - low)
            parts.append(label(left - 6, y, contender, "text-anchor='end'"))
            parts.append(
                f"<rect x='{left:g}' y='{y - 11:.1f}' height='14' rx='2' "
                f"width='{max(share * span, 1):.1f}' fill='{COLORS[contender]}'/>\n"
            )
            parts.append(label(left + share * span + 6, y, f"{value:.3g} {unit}"))
        y += 26
    grid = []
    for power in range(low, high + 1):
        x = left + (power - low) / (high - low) * span
        grid.append(
            f"<line x1='{x:.1f}' x2='{x:.1f}' y1='34' y2='{y - 12:.1f}' "
            "stroke='#dddddd'/>\n"
        )
        grid.append(label(x, y + 2, f"{10.0**power:g}", "text-anchor='middle'"))
    parts.append(label(left + span + 14, y + 2, unit))
    return svg(left + span + 120, y + 14, title, [*grid, *parts])


def curves(title: str, lines: dict[str, list[tuple[float, float]]]) -> str:
    """Milliseconds over bytes, both scales logarithmic; empty without a point."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    left, top, wide, tall = 60.0, 40.0, 520.0, 320.0
    x_low, x_high = (f(math.log2(x) for x, _ in points) for f in (min, max))
    y_low, y_high = decades([y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log2(x) - x_low) / max(x_high - x_low, 1)
        up = (math.log10(y) - y_low) / (y_high - y_low)
        return left + across * wide, top + (1 - up) * tall

    parts = []
    for power in range(y_low, y_high + 1):
        y = place(2**x_low, 10.0**power)[1]
        parts.append(
            f"<line x1='{left:g}' x2='{left + wide:g}' y1='{y:.1f}' y2='{y:.1f}' "
            "stroke='#dddddd'/>\n"
        )
        parts.append(label(left - 6, y + 4, f"{10.0**power:g}", "text-anchor='end'"))
    for power, text in ((10, "1 KiB"), (14, "16 KiB"), (20, "1 MiB"), (24, "16 MiB")):
        x = place(2.0**power, 10.0**y_low)[0]
        parts.append(label(x, top + tall + 18, text, "text-anchor='middle'"))
    parts.append(label(10, top - 4, "ms"))
    for index, (name, line) in enumerate(lines.items()):
        path = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in line)
        color = COLORS[name]
        parts.append(
            f"<polyline points='{path}' fill='none' stroke='{color}' "
            "stroke-width='2'/>\n"
        )
        y = top + 12 + 18 * index
        parts.append(
            f"<rect x='{left + wide + 14:g}' y='{y - 10:g}' width='12' height='12' "
            f"fill='{color}'/>\n"
        )
        parts.append(label(left + wide + 32, y, name))
    return svg(left + wide + 140, top + tall + 34, title, parts)


def plot(figures: dict[str, Any]) -> None:
    """Draws the charts and writes the page around them."""
    latency: dict[str, dict[str, float]] = {}
    throughput: dict[str, dict[str, float]] = {}
    for name, model in figures["models"].items():
        latency[name] = {c: f["p50_ms"] for c, f in model["contenders"].items()}
        found = model.get("saturation", {})
        throughput[name] = {c: f["requests_per_s"] for c, f in found.items()}
    sizes: dict[str, list[tuple[float, float]]] = {}
    for row in figures["sizes"]:
        if row["content_type"].endswith("json"):
            continue
        for name, one in row["contenders"].items():
            sizes.setdefault(name, []).append((row["bytes"], one["p50_ms"]))
    charts = {
        "latency": bars("Median latency, one request at a time", "ms", latency),
        "throughput": bars("Throughput, all processors busy", "/s", throughput),
        "sizes": curves("Latency of echo over the size of its input", sizes),
    }
    folder = DOCS / "performance"
    folder.mkdir(parents=True, exist_ok=True)
    for name, chart in charts.items():
        path = folder / f"{name}.svg"
        if chart:
            path.write_text(chart)
        else:
            path.unlink(missing_ok=True)
    (DOCS / "performance.md").write_text(page(figures, charts))
    say(f"wrote {DOCS / 'performance.md'} and its charts")


def page(figures: dict[str, Any], charts: dict[str, str]) -> str:
    """docs/performance.md."""
    where = figures["machine"]
    explanation = (__doc__ or "").split("\n\n")

    def chart(name: str) -> str:
        return f"![{name}](performance/{name}.svg)\n\n" if charts[name] else ""

    return (
        "# Performance\n\n"
        "`scripts/bench ready` measures this page, `scripts/bench ready --plot` "
        "writes it; do not edit it.\n"
        f"Measured on {figures['date']}, {where['processor']}, {where['cores']} "
        f"cores, load before {where['load_before']}, {figures['runs']} runs "
        f"({figures['slow_runs']} of those that take a second).\n\n"
        "In one run, on the same inputs, taking turns; every model computes with one "
        f"thread:\n\n```\n{explanation[2]}\n```\n\n{explanation[3]}\n\n"
        "## Latency, one request at a time\n\n"
        + chart("latency")
        + in_markdown(rows_of_latency(figures))
        + "\n## Targets\n\n"
        + in_markdown(rows_of_targets(figures))
        + "\n## Throughput and memory\n\n"
        + f"{WORKERS} workers with one request in flight each; {IN_FLIGHT} requests "
        "in flight for the node. The client's CPU time is not in `CPU ms`.\n\n"
        + chart("throughput")
        + in_markdown(rows_of_saturation(figures))
        + "\n## Size of the input\n\n"
        + chart("sizes")
        + in_markdown(rows_of_sizes(figures))
    )


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
    figures["absent"] = bench.absent
    figures["targets"] = targets(figures["models"])
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
        plot(json.loads(RESULT.read_text()))
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
