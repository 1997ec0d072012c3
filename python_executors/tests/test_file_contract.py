"""The file contract: files, reports, errors, seeds."""

import errno
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from ncn_executor import (
    Context,
    ErrorCode,
    Executor,
    ExecutorError,
    Request,
    Response,
    execution,
    file_contract,
)
from ncn_executor.errors import from_exception

ROOT = Path(__file__).resolve().parents[1]
MODEL = Path("/nowhere/model.pt")


class Upper(Executor):
    """Answers with the input in capitals."""

    def load(self, model_path: Path, context: Context) -> None:
        self.model_path = model_path
        with context.timed("import"):
            pass
        context.versions["upper"] = "1"

    def run(self, request: Request) -> Response:
        return Response(request.data.upper(), "text/plain")


def raising(error: BaseException) -> Callable[[], Executor]:
    """An executor whose model raises."""

    class Raising(Upper):
        def run(self, request: Request) -> Response:
            raise error

    return Raising


def test_writes_the_answer_and_a_report(run: Run) -> None:
    answer = run(MODEL, b"hello", Upper)
    assert (answer.status, answer.output) == (0, b"HELLO")
    assert answer.report["status"] == "ok"
    assert answer.report["content_type"] == "text/plain"
    assert {"import", "load", "run", "write", "total"} <= set(
        answer.report["timings_ms"]
    )
    assert answer.report["versions"]["upper"] == "1"
    assert answer.report["versions"]["python"].startswith("3.")


def test_progress_is_told_at_most_four_times_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    context, told = Context(), []
    context.progress(0.5)  # Nobody listens.
    context.tell = lambda *word: told.append(word)
    context.begin_request()
    context.progress(0.1, "too early")
    now += 0.25
    context.progress(0.2, "n" * 300, Response(b"so far", "text/plain"))
    context.progress(0.3, "too soon")
    now += 0.25
    context.progress(7.0, partial=Response(bytes(70_000), ""))
    now += 0.25
    context.progress(None)
    now += 0.25
    context.progress(float("nan"))
    assert [(fraction, len(note), part.data) for fraction, note, part in told] == [
        (0.2, 200, b"so far"),
        (1.0, 0, b""),
        (None, 0, b""),
        (0, 0, b""),
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(errno.EACCES, "no", "/secret"), "ACCESS_DENIED"),
        (RuntimeError("open: Permission denied"), "ACCESS_DENIED"),
        (MemoryError(), "OUT_OF_MEMORY"),
        (OSError(errno.ENOMEM, "no memory"), "OUT_OF_MEMORY"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "OUT_OF_MEMORY"),
        (RuntimeError("std::bad_alloc"), "OUT_OF_MEMORY"),
        (ModuleNotFoundError("no", name="librosa"), "MISSING_DEPENDENCY"),
        (OSError(errno.ENOSPC, "full"), "OUTPUT_TOO_LARGE"),
        (OSError(errno.EFBIG, "big"), "OUTPUT_TOO_LARGE"),
        (ZeroDivisionError("oops"), "INTERNAL"),
        (ValueError(), "INTERNAL"),
        (ExecutorError(ErrorCode.INVALID_MODEL, "bad"), "INVALID_MODEL"),
    ],
)
def test_every_exception_becomes_a_typed_report(
    run: Run, error: BaseException, code: str
) -> None:
    answer = run(MODEL, b"x", raising(error))
    assert (answer.status, answer.output, answer.code) == (1, None, code)
    assert answer.error["message"]


def test_access_denied_names_the_path(run: Run) -> None:
    error = PermissionError(errno.EACCES, "no", "/secret/file")
    answer = run(MODEL, b"x", raising(error))
    assert answer.error["path"] == "/secret/file"


def test_a_missing_package_is_named(run: Run) -> None:
    answer = run(MODEL, b"x", raising(ModuleNotFoundError("no", name="librosa")))
    assert answer.error["field"] == "librosa"
    assert "requirements.txt" in answer.error["message"]


def test_the_cause_behind_an_exception_counts() -> None:
    try:
        try:
            raise PermissionError(errno.EPERM, "no", "/a")
        except PermissionError as error:
            raise RuntimeError("wrapped") from error
    except RuntimeError as error:
        assert from_exception(error).code is ErrorCode.ACCESS_DENIED


def test_a_long_message_is_cut() -> None:
    error = ExecutorError(ErrorCode.INTERNAL, "x" * 10_000, expected="a", found="b")
    assert len(error.as_report()["message"]) == 2000
    assert "expected a, found b" in str(error)


def test_a_failed_run_removes_an_older_answer(run: Run, tmp_path: Path) -> None:
    assert run(MODEL, b"x", Upper).output == b"X"
    assert run(MODEL, b"x", raising(ValueError("no"))).output is None


def test_refuses_an_empty_input(run: Run) -> None:
    answer = run(MODEL, b"", Upper)
    assert answer.code == "INVALID_INPUT"
    assert answer.error["found"] == "0 bytes"


def test_refuses_an_input_past_the_limit(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "INPUT_BYTES_MAX", 4)
    assert run(MODEL, b"1234", Upper).status == 0
    answer = run(MODEL, b"12345", Upper)
    assert answer.code == "INPUT_TOO_LARGE"
    assert answer.error["found"] == "5 bytes"


def test_refuses_an_answer_past_the_limit(run: Run) -> None:
    assert run(MODEL, b"1234", Upper, NCN_OUTPUT_BYTES_MAX="4").status == 0
    answer = run(MODEL, b"12345", Upper, NCN_OUTPUT_BYTES_MAX="4")
    assert answer.code == "OUTPUT_TOO_LARGE"
    assert answer.error["expected"] == "at most 4 bytes"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NCN_THREADS", "0"),
        ("NCN_THREADS", "many"),
        ("NCN_SEED", "-1"),
        ("NCN_SEED", str(2**64)),
        ("NCN_OUTPUT_BYTES_MAX", "1e3"),
    ],
)
def test_refuses_an_environment_that_is_no_number(
    run: Run, name: str, value: str
) -> None:
    answer = run(MODEL, b"x", Upper, **{name: value})
    assert answer.code == "INVALID_INPUT"
    assert answer.error["field"] == name


def test_request_metadata_reaches_the_executor(run: Run) -> None:
    seen: list[Request] = []

    class Looking(Upper):
        def run(self, request: Request) -> Response:
            seen.append(request)
            return super().run(request)

    run(
        MODEL,
        b"x",
        Looking,
        NCN_CONTENT_TYPE="Text/Plain; charset=utf-8",
        NCN_ACCEPT="text/plain",
        NCN_REQUEST_ID="r-1",
        NCN_SEED="7",
    )
    assert seen == [Request(b"x", "text/plain", "text/plain", "r-1", 7)]


def test_a_seed_makes_random_numbers_repeat() -> None:
    import numpy

    numbers = []
    for seed in (5, 5, None, None, 2**64 - 1):
        execution.seed_everything(seed)
        numbers.append((random.random(), float(numpy.random.rand())))
    assert numbers[0] == numbers[1]
    assert len(set(numbers)) == 4


def test_a_seed_reaches_torch() -> None:
    import torch

    execution.seed_everything(2**64 - 1)
    first = float(torch.rand(1))
    execution.seed_everything(2**64 - 1)
    assert float(torch.rand(1)) == first


def test_a_report_that_cannot_be_written_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "input").write_bytes(b"x")
    arguments = ["--model", "m", "--input", str(tmp_path / "input")]
    output = str(tmp_path / "no folder" / "output")
    status = file_contract.run_file_contract(
        Upper, [*arguments, "--output", output], {}
    )
    assert status == 1
    assert "cannot write the report" in capsys.readouterr().err


def test_a_missing_input_file_is_named(tmp_path: Path) -> None:
    output = tmp_path / "output"
    arguments = ["--model", "m", "--input", str(tmp_path / "none")]
    file_contract.run_file_contract(Upper, [*arguments, "--output", str(output)], {})
    report = json.loads((tmp_path / "output.report.json").read_text())
    assert report["error"]["code"] == "INVALID_INPUT"
    assert report["error"]["path"].endswith("none")


def script(*arguments: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    """Runs Python as the node does, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        **more,
    )


def test_importing_the_runtime_starts_no_thread_and_no_framework() -> None:
    done = script(
        "-c",
        "import os, sys, generic_model_executor, ncn_executor\n"
        "heavy = {'numpy', 'torch', 'onnxruntime', 'PIL'} & set(sys.modules)\n"
        "print(len(os.listdir('/proc/self/task')), heavy)",
    )
    assert done.stdout.strip() == "1 set()", done.stderr


def test_the_script_answers_and_exits_1_on_an_error(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"{}")
    done = script(
        str(ROOT / "generic_model_executor.py"),
        *("--model", str(tmp_path / "none.pt")),
        *("--input", str(tmp_path / "input")),
        *("--output", str(tmp_path / "output")),
    )
    assert done.returncode == 1
    assert "INVALID_MODEL" in done.stderr
    report = json.loads((tmp_path / "output.report.json").read_text())
    assert report["error"]["code"] == "INVALID_MODEL"


def test_wrong_arguments_exit_2() -> None:
    done = script(str(ROOT / "generic_model_executor.py"), "--model", "m")
    assert done.returncode == 2
    assert "--input" in done.stderr
