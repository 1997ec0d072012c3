"""The file contract: `script --model PATH --input FILE --output FILE`.

The answer and its report appear by rename, so that whoever waits for them
never sees half of one. Beside OUTPUT lies OUTPUT.report.json, which says how
it went; a failed run leaves the report only, and exit status 1.
"""

import argparse
import contextlib
import json
import os
import platform
import random
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ncn_executor.contract import (
    Context,
    Executor,
    Request,
    Response,
    context_from_environment,
    request_from_environment,
)
from ncn_executor.errors import ErrorCode, ExecutorError, from_exception, invalid_input

INPUT_BYTES_MAX = 256 * 1024 * 1024
REPORT_SUFFIX = ".report.json"
# Read by BLAS libraries when they are first loaded, so set before any import.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(executor: Callable[[], Executor]) -> NoReturn:
    """Runs the file contract with the process's arguments, then exits."""
    status = run_file_contract(executor, sys.argv[1:], os.environ)
    # Nothing is left to flush but these; tearing torch down would take longer.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def run_file_contract(
    executor: Callable[[], Executor],
    arguments: Sequence[str],
    environment: Mapping[str, str],
) -> int:
    """Loads, runs and answers once; returns the exit status.

    Args:
        executor: makes the executor; its class, usually.
        arguments: those of the command line, without the script's name.
        environment: where the node says more about the request.
    """
    options = _parse(arguments)
    context = Context()
    started = time.perf_counter()
    report: dict[str, Any]
    try:
        context = context_from_environment(environment)
        for name in _THREAD_VARIABLES:
            os.environ[name] = str(context.threads)
        request = request_from_environment(_read_input(options.input), environment)
        response = load_and_run(executor(), options.model, request, context)
        with context.timed("write"):
            _write_by_rename(options.output, response.data)
        report = {"status": "ok", "content_type": response.content_type}
    except Exception as error:  # Whatever a model throws becomes a report.
        typed = from_exception(error)
        if typed.code is ErrorCode.INTERNAL:
            traceback.print_exc(limit=-20)
        print(typed, file=sys.stderr)
        report = {"status": "error", "error": typed.as_report()}
        with contextlib.suppress(OSError):
            options.output.unlink()
    context.timings_ms["total"] = (time.perf_counter() - started) * 1e3
    report["timings_ms"] = {k: round(v, 3) for k, v in context.timings_ms.items()}
    report["versions"] = {"python": platform.python_version(), **context.versions}
    return _finish(options.output, report)


def load_and_run(
    executor: Executor, model_path: Path, request: Request, context: Context
) -> Response:
    """The two halves of a cold request; a warm child calls them apart."""
    start = time.perf_counter()
    executor.load(model_path, context)
    load_ms = (time.perf_counter() - start) * 1e3
    context.timings_ms["load"] = load_ms - context.timings_ms.get("import", 0.0)
    with context.timed("run"):
        return run_request(executor, request)


def run_request(executor: Executor, request: Request) -> Response:
    """Seeds, runs and bounds one request."""
    seed_everything(request.seed)
    response = executor.run(request)
    if len(response.data) > request.output_bytes_max:
        raise ExecutorError(
            ErrorCode.OUTPUT_TOO_LARGE,
            "the answer is larger than the request allows: ask for fewer outputs, "
            "or raise the output limit",
            expected=f"at most {request.output_bytes_max} bytes",
            found=f"{len(response.data)} bytes",
        )
    return response


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
        # torch takes a signed number where others take an unsigned one.
        torch.manual_seed(seed if seed < 2**63 else seed - 2**64)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line; a wrong one ends the process with status 2."""
    parser = argparse.ArgumentParser(description="Runs one model on one input.")
    parser.add_argument("--model", required=True, type=Path, metavar="PATH")
    parser.add_argument("--input", required=True, type=Path, metavar="FILE")
    parser.add_argument("--output", required=True, type=Path, metavar="FILE")
    return parser.parse_args(arguments)


def _read_input(path: Path) -> bytes:
    """Reads a bounded, non-empty input."""
    try:
        with path.open("rb") as file:
            data = file.read(INPUT_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise ExecutorError(
            ErrorCode.INVALID_INPUT,
            f"the input file is missing: {path}",
            path=str(path),
        ) from error
    if len(data) > INPUT_BYTES_MAX:
        raise ExecutorError(
            ErrorCode.INPUT_TOO_LARGE,
            "the input is too large",
            expected=f"at most {INPUT_BYTES_MAX} bytes",
            found=f"{os.path.getsize(path)} bytes",
        )
    if not data:
        raise invalid_input(
            "the input is empty",
            field="input",
            expected="JSON, safetensors, PNG or JPEG",
            found="0 bytes",
        )
    return data


def _write_by_rename(path: Path, data: bytes) -> None:
    """Writes a temporary beside the file and renames it."""
    temporary = path.with_name(f"{path.name}.partial")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _finish(output: Path, report: dict[str, Any]) -> int:
    """Writes the report; without one, a run has failed."""
    try:
        text = json.dumps(report, ensure_ascii=False)
        report_path = output.with_name(output.name + REPORT_SUFFIX)
        # Texts from a model may hold what UTF-8 cannot.
        _write_by_rename(report_path, text.encode("utf-8", "replace"))
    except OSError as error:
        print(f"cannot write the report: {error}", file=sys.stderr)
        return 1
    return 0 if report["status"] == "ok" else 1
