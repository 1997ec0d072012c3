"""Executor scripts in a process that answers many requests.

A script that defines one executor class is loaded once. Any other script knows the
file contract only, and runs from its start for each request.
"""

import ast
import contextlib
import inspect
import json
import os
import runpy
import sys
import types
from pathlib import Path
from typing import Any

from ncn_executor import execution, file_contract
from ncn_executor.contract import (
    Context,
    Executor,
    Request,
    Response,
    tell_environment,
)
from ncn_executor.errors import ErrorCode, ExecutorError

# What `__name__` is in a script, so that it defines its executor but runs nothing.
MODULE_NAME = "ncn_ready_child"
REPORT_BYTES_MAX = 64 * 1024
# Steps of a script's own report that the conversation measures itself.
_OWN_STEPS = ("run", "total")
_remembered: dict[Path, tuple[types.CodeType, bool]] = {}


def executor_of_script(script: Path, work: Path) -> Executor:
    """Makes the executor that a script stands for.

    Only a script that imports `ncn_executor` can define one; another is not run here,
    for it may do all its work without looking at `__name__`.

    Args:
        work: where a script that only knows the file contract finds its input.
    """
    code, imports_the_runtime = _remembered.get(script) or _compile(script)
    # As for a program of its own, what lies beside the script can be imported.
    if sys.path[:1] != [str(script.parent)]:
        sys.path.insert(0, str(script.parent))
    sys.argv = [str(script)]
    if imports_the_runtime:
        classes = _executor_classes(script, code)
        if len(classes) == 1:
            # Where models that were pickled by the script look for their classes.
            sys.modules["__main__"] = sys.modules[MODULE_NAME]
            return classes[0]()
    return FileContractScript(script, work)


def remember(script: Path) -> None:
    """Compiles a script of the node's own ahead, for the children of this process."""
    _remembered[script] = _compile(script)


class FileContractScript(Executor):
    """A script that has to be called with files, called within this process."""

    def __init__(self, script: Path, work: Path) -> None:
        self._script = script
        self._input = work / "input"
        self._output = work / "output"
        self._report = work / f"output{file_contract.REPORT_SUFFIX}"
        # A script that calls ncn_executor.main must not end this process.
        file_contract.end_process = sys.exit

    def load(self, model_path: Path, context: Context) -> None:
        self._model_path = model_path
        self._context = context

    def run(self, request: Request) -> Response:
        self._forget()
        self._input.write_bytes(request.data)
        tell_environment(request, os.environ)
        try:
            return self._answer(self._execute(), request)
        finally:
            self._forget()

    def _forget(self) -> None:
        """Removes the files of a request."""
        for path in (self._input, self._output, self._report):
            path.unlink(missing_ok=True)

    def _execute(self) -> int:
        """Runs the script from its start; returns its exit status."""
        options = ["--model", str(self._model_path), "--input", str(self._input)]
        sys.argv = [str(self._script), *options, "--output", str(self._output)]
        try:
            runpy.run_path(str(self._script), run_name="__main__")
        except SystemExit as end:
            if end.code is None or isinstance(end.code, int):
                return end.code or 0
            print(end.code, file=sys.stderr)
            return 1
        return 0

    def _answer(self, status: int, request: Request) -> Response:
        """Reads what the script left behind, by the rules of a process that ended."""
        report = self._read_report(status)
        timings = report.get("timings_ms")
        for step, value in timings.items() if isinstance(timings, dict) else ():
            if isinstance(value, (int, float)) and step not in _OWN_STEPS:
                self._context.timings_ms[step] = float(value)
        if report.get("status") == "error":
            raise _reported_error(report["error"])
        if status != 0:
            raise _internal(f"the script ended with exit code {status}")
        try:
            with self._output.open("rb") as file:
                execution.check_output_size(os.fstat(file.fileno()).st_size, request)
                data = file.read(request.output_bytes_max)
        except FileNotFoundError as error:
            raise _broken("the script ended well, but wrote no output") from error
        except OSError as error:
            raise _broken(f"the script's output cannot be read: {error}") from error
        if not data:
            raise _broken("the script wrote an empty output")
        content_type = report.get("content_type")
        return Response(data, content_type if isinstance(content_type, str) else "")

    def _read_report(self, status: int) -> dict[str, Any]:
        """The script's own report; empty when it wrote none, or one too large."""
        with contextlib.suppress(FileNotFoundError):
            with self._report.open("rb") as file:
                text = file.read(REPORT_BYTES_MAX + 1)
            if len(text) > REPORT_BYTES_MAX:
                return {}
            with contextlib.suppress(ValueError, RecursionError):
                report = json.loads(text)
                if isinstance(report, dict) and _is_known(report):
                    return report
            if status == 0:
                raise _broken("the script's report cannot be read")
        return {}


def _compile(script: Path) -> tuple[types.CodeType, bool]:
    """The code of a script, and whether it imports this package."""
    with script.open("rb") as file:
        tree = ast.parse(file.read(), str(script))
    code = compile(tree, str(script), "exec", dont_inherit=True)
    return code, _imports_the_runtime(tree)


def _imports_the_runtime(tree: ast.Module) -> bool:
    """Whether a script imports this package anywhere."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return any(name.partition(".")[0] == "ncn_executor" for name in names)


def _executor_classes(script: Path, code: types.CodeType) -> list[type[Executor]]:
    """Runs a script as a module; the executors that it defines itself."""
    module = types.ModuleType(MODULE_NAME)
    module.__file__ = str(script)
    sys.modules[MODULE_NAME] = module
    exec(code, module.__dict__)
    found = []
    for value in module.__dict__.values():
        if inspect.isclass(value) and issubclass(value, Executor):
            is_own = value.__module__ == MODULE_NAME
            if is_own and not inspect.isabstract(value) and value not in found:
                found.append(value)
    return found


def _is_known(report: dict[str, Any]) -> bool:
    """Whether a report says one of the two things that a report can say."""
    if report.get("status") != "error":
        return report.get("status") == "ok"
    error = report.get("error")
    codes = [code.value for code in ErrorCode]
    return isinstance(error, dict) and error.get("code") in codes


def _reported_error(error: dict[str, Any]) -> ExecutorError:
    """The error of a report, as if it were raised here."""
    return ExecutorError(
        ErrorCode(error["code"]),
        str(error.get("message", "")),
        field=str(error.get("field", "")),
        expected=str(error.get("expected", "")),
        found=str(error.get("found", "")),
        path=str(error.get("path", "")),
    )


def _internal(message: str) -> ExecutorError:
    return ExecutorError(ErrorCode.INTERNAL, message)


def _broken(message: str) -> ExecutorError:
    return ExecutorError(ErrorCode.BROKEN_CONTRACT, message)
