"""Runs executors the way a node does, within the test's own process."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ncn_executor import Executor, run_file_contract

from generic_model_executor import GenericModelExecutor


@dataclasses.dataclass
class Answer:
    """What a run left behind."""

    status: int
    output: bytes | None
    report: dict[str, Any]

    @property
    def code(self) -> str:
        return str(self.error["code"])

    @property
    def error(self) -> dict[str, str]:
        error: dict[str, str] = self.report["error"]
        return error

    @property
    def json(self) -> dict[str, Any]:
        assert self.output is not None, self.report
        answer: dict[str, Any] = json.loads(self.output)
        return answer

    @property
    def data(self) -> list[Any]:
        """The elements of the first output."""
        data: list[Any] = self.json["outputs"][0]["data"]
        return data


Run = Callable[..., Answer]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the file contract: run(model, data, executor=..., NCN_...=...)."""

    def run_once(
        model: Path,
        data: bytes | dict[str, Any],
        executor: Callable[[], Executor] = GenericModelExecutor,
        **environment: str,
    ) -> Answer:
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        output = work / "output"
        request = data if isinstance(data, bytes) else json.dumps(data).encode()
        (work / "input").write_bytes(request)
        arguments = ["--model", str(model), "--input", str(work / "input")]
        status = run_file_contract(
            executor, [*arguments, "--output", str(output)], environment
        )
        report = json.loads((work / "output.report.json").read_text())
        left = {path.name for path in work.iterdir()}
        assert left <= {"input", "output", "output.report.json"}, left
        return Answer(status, output.read_bytes() if output.exists() else None, report)

    return run_once


def tensor(
    data: Any, shape: list[int], datatype: str = "FP32", name: str = "x"
) -> dict[str, Any]:
    """One input of a request."""
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def question(*tensors: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A request."""
    return {"inputs": list(tensors), **more}
