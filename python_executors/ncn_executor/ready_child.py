"""A ready child: a process that loads one model, then answers requests for it.

The node speaks first and waits for each answer; see `frames` for their form.

    {"do": "load", "script": PATH, "model": PATH, "threads": N,
     "requests_max": N, "check_weights": true | false, "rewound": true | false,
     "warm_up": "full" | "small" | "none"}
        {"status": "ready", "warm_up": what was done, ...}, or an error
    {"do": "warm_up"}
        {"status": "ready", "warm_up": "none", "content_type": TEXT} and a request that
        the node may ask it, or, where there is no telling one,
        {"status": "ready", "warm_up": what was done}
    {"do": "seed", "seed": N}
        {"status": "ready", "warm_up": "none"}
    {"do": "run", "content_type": TEXT, "accept": TEXT, "request_id": TEXT,
     "seed": N | null, "output_bytes_max": N} and the input
        {"status": "progress", "fraction": 0 to 1 | null, "note": TEXT,
         "content_type": TEXT} and the output so far, any number of times; then
        {"status": "ok", "content_type": TEXT, ...} and the output, or an error

Errors, times and versions are those of the file contract's report. The child ends
when the node closes the stream, when a model cannot be loaded, and when a frame
cannot be understood.
"""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

from ncn_executor import execution, heap
from ncn_executor.contract import Context, Executor, Request, Response, media_type
from ncn_executor.errors import ErrorCode, ExecutorError, first_line
from ncn_executor.frames import HEADER_BYTES_MAX, BrokenConversation, FrameStream
from ncn_executor.scripts import executor_of_script
from ncn_executor.threads import THREADS_MAX, use_threads

WORK_FOLDER = Path("/work")
WARM_UPS = ("full", "small", "none")
_NOTHING = Response(b"", "")
_TO_JSON = json.JSONEncoder(ensure_ascii=False).encode


def serve(descriptor: int = 0, work: Path = WORK_FOLDER) -> int:
    """Holds the whole conversation; returns the exit status.

    Args:
        descriptor: of the stream to the node.
        work: the writable folder, for scripts that have to be called with files.
    """
    # A script that reads its standard input, as a process of its own may, finds none;
    # the stream to the node may have that number.
    sys.stdin = io.TextIOWrapper(io.BytesIO())
    stream = FrameStream(descriptor)
    try:
        frame = stream.read_header()
        if frame is None:
            return 0
        context = Context()
        executor = _load(stream, frame, work, context)
        if executor is None:
            return 1
        while (frame := stream.read_header()) is not None:
            if frame[0].get("do") == "warm_up":
                _warm_up_again(stream, frame, executor, context)
            elif frame[0].get("do") == "seed":
                _seed(stream, frame)
            else:
                _run(stream, frame, executor, context)
    except BrokenConversation as error:
        print(f"ready child: {error}", file=sys.stderr)
        return 1
    except (BrokenPipeError, ConnectionResetError):
        return 0  # The node is gone.
    return 0


def _load(
    stream: FrameStream, frame: tuple[dict[str, Any], int], work: Path, context: Context
) -> Executor | None:
    """Loads, warms up and says so; None when that failed."""
    header, body_bytes = frame
    script, model = header.get("script"), header.get("model")
    threads, warm_up = header.get("threads"), header.get("warm_up")
    requests_max = header.get("requests_max")
    check_weights, rewound = header.get("check_weights"), header.get("rewound")
    if (
        header.get("do") != "load"
        or body_bytes
        or not isinstance(script, str)
        or not isinstance(model, str)
        or type(threads) is not int
        or not 1 <= threads <= THREADS_MAX
        or type(requests_max) is not int
        or requests_max < 1
        or type(check_weights) is not bool
        or type(rewound) is not bool
        or warm_up not in WARM_UPS
    ):
        raise BrokenConversation("the first frame does not say what to load")
    context.threads, context.check_weights = threads, check_weights
    context.runs_max = requests_max + (warm_up != "none")
    os.environ["NCN_THREADS"] = str(threads)
    try:
        with context.timed("total"):
            use_threads(threads)
            if rewound:
                heap.keep()
            executor = executor_of_script(Path(script), work)
            execution.load(executor, Path(model), context)
            warm_up = _warm_up(executor, warm_up, context)
            if rewound:
                heap.tidy()
            # Forked from one parent, all children would draw the same numbers. Here,
            # where nobody waits, rather than for each request.
            execution.seed_everything(None)
        report = {"status": "ready", "warm_up": warm_up}
        report |= execution.measurements(context)
    except (Exception, SystemExit) as error:  # Whatever a script throws.
        stream.write(*_frame(execution.report_failure(error, context), _NOTHING))
        return None
    stream.write(*_frame(report, _NOTHING))
    return executor


def _seed(stream: FrameStream, frame: tuple[dict[str, Any], int]) -> None:
    """Seeds ahead of a request that says nothing of a seed."""
    seed = frame[0].get("seed")
    if frame[1] or not _is_seed(seed):
        raise BrokenConversation("a frame does not say how to seed")
    execution.seed_everything(seed)
    stream.write(*_frame({"status": "ready", "warm_up": "none"}, _NOTHING))


def _is_seed(seed: Any) -> bool:
    return type(seed) is int and 0 <= seed < 2**64


def _warm_up_again(
    stream: FrameStream,
    frame: tuple[dict[str, Any], int],
    executor: Executor,
    context: Context,
) -> None:
    """Answers with a request that writes what requests write, or else warms up."""
    if frame[1]:
        raise BrokenConversation("a frame that asks for a warm-up has a body")
    try:
        example = executor.example()
    except Exception as error:  # A script's own.
        print(f"there is no example: {first_line(error)}", file=sys.stderr)
        example = None
    done = "none" if example else _warm_up(executor, "full", context)
    report = {"status": "ready", "warm_up": done}
    response = _NOTHING
    if example is not None:
        report["content_type"] = example.content_type
        response = Response(example.data, "")
    stream.write(*_frame(report, response))


def _warm_up(executor: Executor, wanted: str, context: Context) -> str:
    """Warms up if it can; what was done."""
    if wanted == "none":
        return "none"
    rehearse(_Echo(), Request(b"x"), Context())
    try:
        with context.timed("warm_up"):
            return wanted if executor.warm_up(wanted == "full") else "none"
    # The model may take no input like the made-up one, and a script may end.
    except (Exception, SystemExit) as error:
        print(f"the warm-up failed: {first_line(error)}", file=sys.stderr)
        return "none"


def _run(
    stream: FrameStream,
    frame: tuple[dict[str, Any], int],
    executor: Executor,
    context: Context,
) -> None:
    """Answers one request."""
    header, body_bytes = frame
    data = b""
    if body_bytes > execution.INPUT_BYTES_MAX:
        stream.skip_body(body_bytes)
    else:
        data = stream.read_body(body_bytes)
    context.tell = lambda *word: _tell(stream, *word)
    stream.write(*_answer(_request(header, data), body_bytes, executor, context))


def _answer(
    request: Request, input_bytes: int, executor: Executor, context: Context
) -> tuple[bytes, bytes]:
    """The header and the body of the answer to one request."""
    context.begin_request()
    try:
        execution.check_input_size(input_bytes)
        response = execution.run_request(executor, request, context)
        report = execution.report_answer(response, context)
    except (Exception, SystemExit) as error:  # Whatever a model throws.
        response = _NOTHING
        report = execution.report_failure(error, context)
    context.tell = None
    return _frame(report, response)


class _Echo(Executor):
    """What is around a model is run once before there is a request, so that the request
    finds its code in pages of this process."""

    def load(self, model_path: Path, context: Context) -> None:
        pass

    def run(self, request: Request) -> Response:
        return Response(request.data, request.content_type)


def _tell(
    stream: FrameStream, fraction: float | None, note: str, partial: Response
) -> None:
    """Says how far a request is."""
    word = {"status": "progress", "fraction": fraction, "note": note}
    header = _encode({**word, "content_type": partial.content_type[:100]})
    stream.write(header, partial.data)


def rehearse(executor: Executor, request: Request, context: Context) -> None:
    """Answers a request that nobody has asked, but for the conversation."""
    header: dict[str, Any] = {"do": "run", "content_type": request.content_type}
    header |= {"accept": "", "request_id": "rehearsal", "seed": 1}
    header |= {"output_bytes_max": 1 << 20}
    asked = _request(json.loads(_encode(header)), request.data)
    _answer(asked, len(request.data), executor, context)


def _request(header: dict[str, Any], data: bytes) -> Request:
    """What a frame asks."""
    try:
        seed, output_bytes_max = header["seed"], header["output_bytes_max"]
        if header["do"] != "run" or type(output_bytes_max) is not int:
            raise ValueError
        if seed is not None and not _is_seed(seed):
            raise ValueError
        return Request(
            data=data,
            content_type=media_type(header["content_type"]),
            accept=header["accept"],
            request_id=header["request_id"],
            seed=seed,
            output_bytes_max=output_bytes_max,
        )
    except (KeyError, ValueError, AttributeError) as error:
        raise BrokenConversation("a frame does not say what to run") from error


def _frame(report: dict[str, Any], response: Response) -> tuple[bytes, bytes]:
    """Header and body, to be sent after all that was printed meanwhile."""
    for printed in (sys.stdout, sys.stderr):
        try:
            printed.flush()
        except (OSError, ValueError):
            pass
    header = _encode(report)
    if len(header) > HEADER_BYTES_MAX:
        error = ExecutorError(
            ErrorCode.INTERNAL, "the report of the executor is too large"
        )
        return _encode({"status": "error", "error": error.as_report()}), b""
    return header, response.data


def _encode(report: dict[str, Any]) -> bytes:
    # Texts from a model may hold what UTF-8 cannot.
    return _TO_JSON(report).encode("utf-8", "replace")
