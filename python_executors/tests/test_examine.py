"""What is examined of a candidate, without the sandbox around it."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import model_files as files
import pytest
from ncn_executor import file_contract

import examine

GENERIC = Path(examine.__file__).with_name("generic_model_executor.py")
STEPS = ["load", "warm-up", "input", "run", "answer", "repeat", "fresh"]


@pytest.fixture(autouse=True)
def _undo(monkeypatch: pytest.MonkeyPatch) -> None:
    """What examining changes in the process."""
    for name, value in (("argv", sys.argv), ("path", [*sys.path])):
        monkeypatch.setattr(sys, name, value)
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(file_contract, "end_process", os._exit)


def run(
    capfd: pytest.CaptureFixture[str], model: Path, script: Path, *more: str
) -> tuple[int, list[dict[str, Any]]]:
    """The exit status, and the lines about steps that ended."""
    arguments = ["--model", str(model), "--script", str(script), *more]
    status = examine.main(arguments)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    begun = [line["begin"] for line in lines if "begin" in line]
    ended = [line for line in lines if "check" in line]
    assert begun == [line["check"] for line in ended]
    return status, ended


def test_a_model_with_a_signature_needs_no_input(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = files.torchscript(tmp_path, files.network(), files.TENSORS)
    status, ended = run(capfd, model, GENERIC)
    assert status == 0, ended
    assert [line["check"] for line in ended] == STEPS
    by_name = {line["check"]: line["message"] for line in ended}
    assert "torch" in by_name["load"]
    assert by_name["input"].startswith("made up")
    assert by_name["answer"] == "p FP32 [1, 3]"


def test_a_request_of_the_manifest_or_the_command_line_is_taken(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps({"inputs": files_input()})
    warm_up = '[warm_up]\ninput = "sample.json"\n'
    model = files.torchscript(tmp_path, files.network(), warm_up)
    (model.parent / "sample.json").write_text(text)
    assert run(capfd, model, GENERIC)[1][2]["message"].startswith("of the manifest")
    given = tmp_path / "given.json"
    given.write_text(text)
    status, ended = run(capfd, model, GENERIC, "--input", str(given))
    assert (status, ended[2]["message"][:8]) == (0, "as given")


def files_input() -> list[dict[str, Any]]:
    return [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]


def test_a_model_that_tells_nothing_asks_for_an_input(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    status, ended = run(capfd, files.torchscript(tmp_path, files.network()), GENERIC)
    assert status == 1
    assert [line["status"] for line in ended] == ["ok", "skipped", "skipped"]
    assert "--input" in ended[-1]["message"]


@pytest.mark.parametrize(
    ("answer", "step", "word"),
    [
        ("os.write(1, b'noise') and 1 / 0", "run", "ZeroDivisionError"),
        ("Response(b'', 'text/plain')", "answer", "no bytes"),
        ("Response(b'x', 'text')", "answer", "media type"),
        ("Response(b'[]', 'application/json')", "", "not of the Open Inference"),
        ("Response(b'{', 'application/json')", "answer", "Expecting"),
        ("Response(os.urandom(9), 'text/plain')", "repeat", "seed"),
        ("Response(b'%d' % id(self), 'text/plain')", "fresh", "loading again"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    answer: str,
    step: str,
    word: str,
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os\nfrom ncn_executor import Executor, Response\n"
        "class Mine(Executor):\n"
        "    def load(self, model_path, context):\n        pass\n"
        f"    def run(self, request):\n        return {answer}\n"
    )
    status, ended = run(capfd, tmp_path / "m", script, "--input", str(script))
    failed = [line["check"] for line in ended if line["status"] == "failed"]
    assert (failed, status) == ([step] if step else [], 1 if step else 0)
    assert any(word in line["message"] for line in ended)


@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(60)",
        # One that hears of nothing.
        "end = time.monotonic() + 1.2\n"
        "        while time.monotonic() < end:\n"
        "            try:\n                time.sleep(0.1)\n"
        "            except Exception:\n                pass",
    ],
)
def test_a_request_that_takes_longer_than_the_manifest_allows_fails(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], body: str
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import time\nfrom ncn_executor import Executor, Response\n"
        "class Mine(Executor):\n"
        "    def load(self, model_path, context):\n        pass\n"
        f"    def run(self, request):\n        {body}\n"
        "        return Response(b'x', 'text/plain')\n"
    )
    given = ("--input", str(script), "--timeout", "1")
    status, ended = run(capfd, tmp_path / "m", script, *given)
    assert status == 1
    assert ended[-1]["check"] == "run"
    assert "limits.timeout_secs, 1 s" in ended[-1]["message"]
