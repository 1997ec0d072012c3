"""What ready.py lets answer requests, each in its own way."""

import contextlib
import dataclasses
import hashlib
import http.client
import json
import math
import os
import select
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "build" / "release" / "benchmarks" / "ready_benchmark"
WORKERS = 2
IN_FLIGHT = WORKERS  # A node's own default: as many slots as cores.
BURST = 4
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
        steps = header.get("steps") or {}
        return Sample(header.get("ms", ms), header.get("cpu_ms"), found, steps)

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

    def __init__(self, models: Path, model: str, level: str, *options: str) -> None:
        if not PROGRAM.is_file():
            raise Trouble(f"{PROGRAM.relative_to(ROOT)} is not built")
        self._log = ROOT / "build" / "logs" / f"ready_benchmark_{level}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        command = [str(PROGRAM), "--models", str(models), "--model", model]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*command, "--level", level, "--ready-min", str(BURST), *options],
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

    def cancel(self, request: Input, after_ms: float) -> float:
        """Milliseconds from the cancellation of a request until its slot is free."""
        answer = self._ask(f"cancel {request.path} {request.content_type} {after_ms:g}")
        if not answer.get("ok"):
            raise Trouble("a request was over before it was cancelled")
        return float(answer["ms"])

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
