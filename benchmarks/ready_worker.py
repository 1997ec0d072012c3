"""What ready.py compares the node with, inside the runtime image but in no sandbox.

python3 -s ready_worker.py ROLE --model PATH --descriptor N [--socket PATH]

    worker  loads and warms the model, then answers frames on the socket N
    bare    the same, but measures the call of the model alone
    plain   starts a process of generic_model_executor.py for each frame
    http    a server of FastAPI and uvicorn, which listens at PATH
    steps   forks a process for each frame that loads the model and computes twice, and
            tells the CPU time of each step

The first frame on N says {"status": "ready"}; then each frame from there says what to
do: "run", "cpu" or "usage". The work is that of the project's executor, without its
reports.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, "/app/python_executors")

from generic_model_executor import GenericModelExecutor  # noqa: E402
from ncn_executor import Context, Request  # noqa: E402
from ncn_executor.frames import FrameStream  # noqa: E402
from ncn_executor.threads import use_threads  # noqa: E402

SCRIPT = "/app/python_executors/generic_model_executor.py"
Answer = tuple[dict[str, Any], bytes]
Run = Callable[[dict[str, Any], bytes], Answer]


def load(model: Path) -> GenericModelExecutor:
    """A model that has computed once."""
    use_threads(1)
    executor = GenericModelExecutor()
    executor.load(model, Context(threads=1))
    executor.warm_up(True)
    return executor


def worker(model: Path) -> Run:
    executor = load(model)

    def run(header: dict[str, Any], data: bytes) -> Answer:
        response = executor.run(Request(data, str(header["content_type"])))
        return {"status": "ok", "content_type": response.content_type}, response.data

    return run


def bare(model: Path) -> Run:
    """Reads an input as the executor does; only the network is timed."""
    from ncn_executor import payload, tensors

    executor = load(model)
    backend = executor._backend

    def run(header: dict[str, Any], data: bytes) -> Answer:
        content_type = str(header["content_type"])
        question = payload.decode(
            Request(data, content_type), content_type, backend.inputs
        )
        inputs = tensors.check_inputs(question.tensors, backend.inputs)
        begun, cpu = time.perf_counter(), time.process_time()
        backend.run(inputs)
        ms = (time.perf_counter() - begun) * 1e3
        cpu_ms = (time.process_time() - cpu) * 1e3
        return {"status": "ok", "ms": ms, "cpu_ms": cpu_ms}, b""

    return run


def children_cpu_ms() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (usage.ru_utime + usage.ru_stime) * 1e3


def plain(model: Path) -> Run:
    """A process for each request; /work is a tmpfs."""
    source, result = Path("/work/input"), Path("/work/output")
    command = [sys.executable, "-s", SCRIPT, "--model", str(model)]
    command += ["--input", str(source), "--output", str(result)]

    def run(header: dict[str, Any], data: bytes) -> Answer:
        environment = {**os.environ, "NCN_CONTENT_TYPE": str(header["content_type"])}
        begun, cpu = time.perf_counter(), children_cpu_ms()
        source.write_bytes(data)
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            return {"status": "error", "error": done.stderr[-2000:]}, b""
        answer = result.read_bytes()
        ms = (time.perf_counter() - begun) * 1e3
        return {"status": "ok", "ms": ms, "cpu_ms": children_cpu_ms() - cpu}, answer

    return run


def steps(model: Path) -> Run:
    """What a sandbox of its own computes for a request, without its walls."""
    import zygote

    zygote.import_everything("torch")
    zygote.rehearse("torch")

    def run(header: dict[str, Any], data: bytes) -> Answer:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            marks = [time.process_time()]
            executor = GenericModelExecutor()
            executor.load(model, Context(threads=1))
            marks.append(time.process_time())
            for _ in range(2):
                executor.run(Request(data, str(header["content_type"])))
                marks.append(time.process_time())
            os.write(writing, json.dumps(marks).encode())
            os._exit(0)
        os.close(writing)
        with open(reading, "rb") as pipe:
            told = pipe.read()
        _, status, usage = os.wait4(child, 0)
        if status != 0:
            return {"status": "error", "error": f"the process ended with {status}"}, b""
        marks = json.loads(told)
        cpu_ms = {
            "load": (marks[1] - marks[0]) * 1e3,
            "first call": (marks[2] - marks[1]) * 1e3,
            "second call": (marks[3] - marks[2]) * 1e3,
            # Its first page faults and the end of its address space.
            "process": (usage.ru_utime + usage.ru_stime - marks[3] + marks[0]) * 1e3,
        }
        return {"status": "ok", "steps": cpu_ms}, b""

    return run


def cpu() -> dict[str, Any]:
    """CPU time of this process."""
    return {"status": "ok", "cpu_ms": time.process_time() * 1e3}


def usage() -> dict[str, Any]:
    """Private memory of this process."""
    private = 0
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_") and "Hugetlb" not in line:
            private += int(line.split()[1]) * 1024
    return {"status": "ok", "private_bytes": private}


def serve(stream: FrameStream, run: Run) -> None:
    def write(header: dict[str, Any], body: bytes = b"") -> None:
        stream.write(json.dumps(header).encode(), body)

    write({"status": "ready"})
    while (frame := stream.read_header()) is not None:
        header, body_bytes = frame
        data = stream.read_body(body_bytes)
        if header["do"] != "run":
            write(usage() if header["do"] == "usage" else cpu())
            continue
        try:
            write(*run(header, data))
        except Exception as error:  # Whatever a model throws; the report shows it.
            write({"status": "error", "error": str(error)[-2000:]})


def http(stream: FrameStream, model: Path, path: str) -> None:
    """Answers POST /; on the stream it only says that it is ready."""
    import fastapi  # type: ignore[import]
    import uvicorn  # type: ignore[import]

    run = worker(model)
    server = fastapi.FastAPI()

    async def answer(request: Any) -> Any:
        content_type = request.headers["content-type"]
        header, data = run({"content_type": content_type}, await request.body())
        return fastapi.Response(data, media_type=str(header["content_type"]))

    async def tell_cpu() -> Any:
        return cpu()

    answer.__annotations__["request"] = fastapi.Request
    server.add_api_route("/", answer, methods=["POST"])
    server.add_api_route("/cpu", tell_cpu, methods=["GET"])
    settings = uvicorn.Config(
        server, uds=path, log_level="error", access_log=False, timeout_keep_alive=3600
    )
    stream.write(b'{"status": "ready"}', b"")
    uvicorn.Server(settings).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("role", choices=("worker", "bare", "plain", "http", "steps"))
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--descriptor", required=True, type=int)
    parser.add_argument("--socket", default="")
    options = parser.parse_args()
    stream = FrameStream(options.descriptor)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        if options.role == "http":
            http(stream, options.model, options.socket)
        else:
            roles = {"worker": worker, "bare": bare, "plain": plain, "steps": steps}
            serve(stream, roles[options.role](options.model))


if __name__ == "__main__":
    main()
