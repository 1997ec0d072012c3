#!/usr/bin/env python3
"""Examines a candidate, a model and its executor, and says what is wrong with it.

python3 examine.py --model PATH --script PATH [--input FILE] [--content-type TYPE]
                   [--accept TYPE] [--seed N] [--output-bytes-max N] [--timeout SECONDS]

Prints one JSON object a line: {"begin": STEP} before each step, and after it
{"check": STEP, "status": "ok", "failed" or "skipped", "message": TEXT, "took_ms": N}.
When a step ends the process, the line that is missing says which. What the candidate
prints goes to the standard error. Exit status: 0 when no step failed, else 1.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ncn_executor import execution
from ncn_executor.contract import (
    OUTPUT_BYTES_MAX_DEFAULT,
    Context,
    Executor,
    Request,
    Response,
    threads_from_environment,
)
from ncn_executor.errors import from_exception
from ncn_executor.scripts import executor_of_script
from ncn_executor.threads import use_threads

WORK_FOLDER = Path("/work")
_MESSAGE_CHARS_MAX = 1000


class Skipped(Exception):
    """A step that cannot be made; says why."""


class Examination:
    """One candidate, step by step; a step that fails ends it."""

    def __init__(self, options: argparse.Namespace, stream: int) -> None:
        self._options = options
        self._stream = stream
        self._context = Context(threads=threads_from_environment(os.environ))
        self._executor: Executor | None = None
        self._request = Request(b"")
        self._answer = Response(b"", "")

    def run(self) -> int:
        """Makes every step; returns the exit status."""
        use_threads(self._context.threads)
        steps: list[tuple[str, Callable[[], str]]] = [
            ("load", self._load),
            ("warm-up", self._warm_up),
            ("input", self._find_input),
            ("run", self._run),
            ("answer", self._check_answer),
            ("repeat", self._repeat),
            ("fresh", self._repeat_afresh),
        ]
        return 0 if all(self._step(name, step) for name, step in steps) else 1

    def _step(self, name: str, step: Callable[[], str]) -> bool:
        """Whether to go on."""
        self._say({"begin": name})
        start = time.perf_counter()
        status = "ok"
        try:
            message = step()
        except Skipped as reason:
            status, message = "skipped", str(reason)
        except (Exception, SystemExit) as error:  # Whatever a candidate throws.
            status, message = "failed", str(from_exception(error))
        took_ms = round((time.perf_counter() - start) * 1e3, 3)
        message = message[:_MESSAGE_CHARS_MAX]
        self._say(
            {"check": name, "status": status, "message": message, "took_ms": took_ms}
        )
        return status == "ok" or name == "warm-up"

    def _say(self, line: dict[str, object]) -> None:
        sys.stdout.flush()
        os.write(self._stream, json.dumps(line).encode() + b"\n")

    def _load(self) -> str:
        self._executor = self._new()
        versions = self._context.versions.items()
        return ", ".join(f"{name} {version}" for name, version in versions)

    def _new(self) -> Executor:
        options = self._options
        executor = executor_of_script(options.script, WORK_FOLDER)
        execution.load(executor, options.model, self._context)
        return executor

    def _warm_up(self) -> str:
        assert self._executor is not None
        if not self._executor.warm_up(True):
            raise Skipped("the executor makes up no input to warm up with")
        return "on a made-up input"

    def _find_input(self) -> str:
        options = self._options
        found, where = None, "made up"
        if options.input is not None:
            found = Request(options.input.read_bytes(), options.content_type)
            where = "as given"
        elif self._executor is not None:
            found = self._executor.named_sample()
            if found is not None:
                where = "of the manifest"
            else:
                found = self._executor.example()
        if found is None:
            raise Skipped(
                "nothing to run on: give an --input, name one as [warm_up] input in "
                "model.toml, or declare datatypes and shapes of all inputs there"
            )
        execution.check_input_size(len(found.data))
        self._request = Request(
            found.data,
            found.content_type,
            options.accept,
            "examination",
            options.seed,
            options.output_bytes_max,
        )
        kind = found.content_type or "an unknown type"
        return f"{where}, {len(found.data)} bytes of {kind}"

    def _run(self) -> str:
        assert self._executor is not None
        self._answer = self._ask(self._executor)
        answer = self._answer
        return f"{len(answer.data)} bytes of {answer.content_type or 'no type'}"

    def _ask(self, executor: Executor) -> Response:
        self._context.begin_request()
        with _in_time(self._options.timeout):
            return execution.run_request(executor, self._request, self._context)

    def _check_answer(self) -> str:
        data, kind = self._answer.data, self._answer.content_type
        if not isinstance(data, bytes) or not data:
            raise ValueError("the answer has no bytes")
        # A plain script says none.
        if kind and (kind.count("/") != 1 or len(kind) > 100):
            raise ValueError(f"the answer's type {kind[:100]!r} is no media type")
        if kind != "application/json":
            return "not looked into"
        body = json.loads(data)
        outputs = body.get("outputs") if isinstance(body, dict) else None
        if not isinstance(outputs, list):
            return "JSON, but not of the Open Inference Protocol"
        return ", ".join(
            f"{o['name']} {o['datatype']} {o['shape']}" for o in outputs[:16]
        )

    def _repeat(self) -> str:
        assert self._executor is not None
        if self._ask(self._executor).data != self._answer.data:
            raise ValueError(
                "the same request and seed give another answer the second time: what "
                "one request leaves behind answers the next, or the seed is not heeded"
            )
        return f"the same bytes for seed {self._request.seed}"

    def _repeat_afresh(self) -> str:
        if self._ask(self._new()).data != self._answer.data:
            raise ValueError(
                "the same request and seed give another answer after loading again: "
                "the seed is not heeded"
            )
        return "the same bytes after loading again"


@contextlib.contextmanager
def _in_time(seconds: int) -> Iterator[None]:
    """Refuses a request that takes longer, whether or not it can be interrupted; 0 is
    as long as it takes."""
    if seconds == 0:
        yield
        return
    late = TimeoutError(f"a request takes longer than limits.timeout_secs, {seconds} s")

    def interrupt(*_: object) -> None:
        raise late

    before = signal.signal(signal.SIGALRM, interrupt)
    start = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if time.monotonic() - start > seconds:
        raise late


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--script", required=True, type=Path)
    parser.add_argument("--input", type=Path)
    parser.add_argument("--content-type", default="")
    parser.add_argument("--accept", default="")
    parser.add_argument("--seed", default=1, type=int)
    parser.add_argument(
        "--output-bytes-max", default=OUTPUT_BYTES_MAX_DEFAULT, type=int
    )
    parser.add_argument("--timeout", default=0, type=int, help="seconds of a request")
    options = parser.parse_args(arguments)
    # The candidate may print what it likes, but not here.
    stream = os.dup(1)
    os.dup2(2, 1)
    try:
        return Examination(options, stream).run()
    finally:
        sys.stdout.flush()
        os.dup2(stream, 1)
        os.close(stream)


if __name__ == "__main__":
    sys.exit(main())
