"""The file contract: `script --model PATH --input FILE --output FILE`.

The answer and its report appear by rename, so that whoever waits for them
never sees half of one. Beside OUTPUT lies OUTPUT.report.json, which says how
it went; a failed run leaves the report only, and exit status 1.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ncn_executor import execution
from ncn_executor.contract import (
    Context,
    Executor,
    request_from_environment,
    threads_from_environment,
)
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.threads import use_threads

REPORT_SUFFIX = ".report.json"
# How `main` ends the process; a ready child, which lives on, puts another here.
end_process: Callable[[int], NoReturn] = os._exit


def main(executor: Callable[[], Executor]) -> NoReturn:
    """Runs the file contract with the process's arguments, then exits."""
    status = run_file_contract(executor, sys.argv[1:], os.environ)
    # Nothing is left to flush but these; tearing torch down would take longer.
    sys.stdout.flush()
    sys.stderr.flush()
    end_process(status)


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
    try:
        with context.timed("total"):
            context.threads = threads_from_environment(environment)
            use_threads(context.threads)
            data = _read_input(options.input)
            request = request_from_environment(data, environment)
            made = executor()
            execution.load(made, options.model, context)
            response = execution.run_request(made, request, context)
            with context.timed("write"):
                _write_by_rename(options.output, response.data)
        report = execution.report_answer(response, context)
    except Exception as error:  # Whatever a model throws becomes a report.
        report = execution.report_failure(error, context)
        with contextlib.suppress(OSError):
            options.output.unlink()
    return _finish(options.output, report)


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
            data = file.read(execution.INPUT_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise ExecutorError(
            ErrorCode.INVALID_INPUT,
            f"the input file is missing: {path}",
            path=str(path),
        ) from error
    is_whole = len(data) <= execution.INPUT_BYTES_MAX
    execution.check_input_size(len(data) if is_whole else os.path.getsize(path))
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
