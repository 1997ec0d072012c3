"""One request, however it came: bounded, seeded, run and reported."""

import os
import platform
import random
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from ncn_executor.contract import Context, Executor, Request, Response
from ncn_executor.errors import ErrorCode, ExecutorError, from_exception, invalid_input

INPUT_BYTES_MAX = 256 * 1024 * 1024
_PYTHON_VERSION = platform.python_version()


def load(executor: Executor, model_path: Path, context: Context) -> None:
    """Loads a model; imports are timed apart."""
    start = time.perf_counter()
    executor.loaded_from = model_path
    executor.load(model_path, context)
    load_ms = (time.perf_counter() - start) * 1e3
    context.timings_ms["load"] = load_ms - context.timings_ms.get("import", 0.0)


def run_request(executor: Executor, request: Request, context: Context) -> Response:
    """Seeds if the request says how, runs and bounds one request."""
    with context.timed("run"):
        if request.seed is not None:
            seed_everything(request.seed)
        response = executor.run(request)
        check_output_size(len(response.data), request)
        return response


def check_input_size(found_bytes: int) -> None:
    """Refuses an empty input, and one past the limit."""
    if found_bytes > INPUT_BYTES_MAX:
        raise ExecutorError(
            ErrorCode.INPUT_TOO_LARGE,
            "the input is too large",
            expected=f"at most {INPUT_BYTES_MAX} bytes",
            found=f"{found_bytes} bytes",
        )
    if found_bytes == 0:
        raise invalid_input(
            "the input is empty",
            field="input",
            expected="JSON, safetensors, PNG or JPEG",
            found="0 bytes",
        )


def check_output_size(found_bytes: int, request: Request) -> None:
    """Refuses an answer past the limit of its request."""
    if found_bytes > request.output_bytes_max:
        raise ExecutorError(
            ErrorCode.OUTPUT_TOO_LARGE,
            "the answer is larger than the request allows: ask for fewer outputs, "
            "or raise the output limit",
            expected=f"at most {request.output_bytes_max} bytes",
            found=f"{found_bytes} bytes",
        )


def seed_everything(seed: int | None) -> None:
    """Seeds the generators of every package that is already loaded.

    Processes forked from one parent share its generators' state, so without a
    seed a fresh one is drawn.
    """
    if seed is None:
        seed = int.from_bytes(os.urandom(8), "little")
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % 2**32)
    torch = sys.modules.get("torch")
    if torch is not None:
        # The processor's alone: there is no other device inside, and torch.manual_seed
        # takes a millisecond to find that out. A signed number where others take an
        # unsigned one.
        torch.default_generator.manual_seed(seed if seed < 2**63 else seed - 2**64)


def report_answer(response: Response, context: Context) -> dict[str, Any]:
    """The report of a request that was answered."""
    content_type = response.content_type
    return {"status": "ok", "content_type": content_type, **measurements(context)}


def report_failure(error: BaseException, context: Context) -> dict[str, Any]:
    """The report of a request or a load that failed; says it on stderr, too."""
    typed = from_exception(error)
    if typed.code is ErrorCode.INTERNAL:
        traceback.print_exception(error, limit=-20)
    print(typed, file=sys.stderr)
    return {"status": "error", "error": typed.as_report(), **measurements(context)}


def measurements(context: Context) -> dict[str, Any]:
    """The part that every report has."""
    return {
        "timings_ms": {k: round(v, 3) for k, v in context.timings_ms.items()},
        "versions": {"python": _PYTHON_VERSION, **context.versions},
    }
