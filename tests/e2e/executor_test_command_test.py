"""ncn executor test: what it says of good candidates and of bad ones."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, ncn, write_scripted_model

GOOD = """
from ncn_executor import Executor, Response, main

class Echo(Executor):
    def load(self, model_path, context):
        context.versions["echo"] = "1"

    def run(self, request):
        return Response(b"echo:" + request.data, "text/plain")

if __name__ == "__main__":
    main(Echo)
"""
FILES_ONLY = """
import argparse
p = argparse.ArgumentParser()
for name in ("--model", "--input", "--output"):
    p.add_argument(name)
a = p.parse_args()
open(a.output, "wb").write(b"files:" + open(a.input, "rb").read())
"""
RANDOM = GOOD.replace("request.data", "__import__('os').urandom(8)")
COUNTING = GOOD.replace(
    'return Response(b"echo:"',
    "self.n = getattr(self, 'n', 0) + 1\n" '        return Response(b"%d" % self.n',
)
# Name -> its script, the step that fails, a word of the message.
BAD = {
    "raises_at_load": (
        GOOD.replace('context.versions["echo"] = "1"', "raise ValueError('no')"),
        "load",
        "no",
    ),
    "raises": (
        GOOD.replace("return Response", "1 / 0; return Response"),
        "run",
        "zero",
    ),
    "says_nothing": (
        GOOD.replace('b"echo:" + request.data', 'b""'),
        "answer",
        "no bytes",
    ),
    "has_no_type": (GOOD.replace("text/plain", "text"), "answer", "media type"),
    "is_random": (RANDOM, "repeat", "seed"),
    "remembers": (COUNTING, "repeat", "leaves behind"),
    "reads_what_is_not_its_own": (
        GOOD.replace("return Response", "open('/etc/passwd'); return Response"),
        "run",
        "access denied to /etc/passwd",
    ),
    "calls_what_is_forbidden": (
        GOOD.replace(
            "return Response",
            "__import__('ctypes').CDLL(None).ptrace(0, 0, 0, 0); return Response",
        ),
        "run",
        "forbidden system call ptrace",
    ),
    "ends_the_process": (
        GOOD.replace("return Response", "__import__('os')._exit(0); return Response"),
        "run",
        "exit code 0",
    ),
    "hangs": (
        GOOD.replace(
            "return Response", "__import__('time').sleep(99); return Response"
        ),
        "run",
        "Timeout",
    ),
    "misses_a_package": ("import no_such_package\n" + GOOD, "load", "no_such_package"),
}


def examine(model: Path, *flags: str | Path) -> tuple[int, dict[str, Any]]:
    """The exit status and the report."""
    result = ncn("executor", "test", model, "--json", *flags)
    assert result.stdout, result.stderr
    return result.returncode, json.loads(result.stdout)


def executor_of(report: dict[str, Any]) -> str:
    found = [c["message"] for c in report["checks"] if c["name"] == "executor"]
    return str(found[0])


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "input.txt"
    path.write_bytes(b"hello")
    return path


@pytest.mark.parametrize("script", [GOOD, FILES_ONLY], ids=["class", "files"])
def test_a_good_candidate_passes(tmp_path: Path, given: Path, script: str) -> None:
    write_scripted_model(tmp_path, "good", script)
    status, report = examine(tmp_path / "good", "--input", given)
    assert (status, report["ok"]) == (0, True), report
    steps = "model executor load warm-up input run answer repeat fresh".split()
    assert [check["name"] for check in report["checks"]] == steps
    assert executor_of(report) == "good:executor.py"
    assert report["peak_memory_bytes"] > 1 << 20
    assert any(layer.startswith("landlock") for layer in report["layers"])


@pytest.mark.parametrize("name", BAD)
def test_a_bad_candidate_is_told_what_is_wrong(
    tmp_path: Path, given: Path, name: str
) -> None:
    script, step, word = BAD[name]
    write_scripted_model(tmp_path, name, script)
    status, report = examine(tmp_path / name, "--input", given, "--timeout", "4")
    assert (status, report["ok"]) == (1, False), report
    last = report["checks"][-1]
    assert (last["name"], last["status"]) == (step, "failed"), report
    assert word.lower() in last["message"].lower(), report


def test_the_executor_is_the_one_that_a_node_chooses(
    tmp_path: Path, given: Path
) -> None:
    write_scripted_model(tmp_path, "bark", GOOD)
    # By the model's name before the manifest.
    status, report = examine(tmp_path / "bark", "--input", given)
    assert executor_of(report) == "bark_model_executor.py", report
    assert (status, report["checks"][-1]["name"]) == (1, "load"), report
    write_scripted_model(tmp_path, "m", GOOD)
    _, report = examine(tmp_path / "m", "--input", given)
    assert executor_of(report) == "m:executor.py", report
    _, report = examine(
        tmp_path / "m", "--input", given, "--executor", "coarse_model_executor.py"
    )
    assert executor_of(report) == "coarse_model_executor.py", report
    status, report = examine(tmp_path / "m", "--input", given, "--executor", "gone.py")
    assert (status, report["checks"][-1]["status"]) == (1, "failed"), report
    assert "gone.py" in executor_of(report)


def test_of_an_onnx_model_is_said_that_the_native_executor_is_not_examined(
    tmp_path: Path,
) -> None:
    # y = Relu(x), one element each.
    (tmp_path / "relu").mkdir()
    (tmp_path / "relu" / "model.onnx").write_bytes(
        bytes.fromhex(
            "080842040a00100d3a330a0c0a0178120179220452656c751201675a0f0a0178120a0a08"
            "080112040a020801620f0a0179120a0a08080112040a020801"
        )
    )
    status, report = examine(tmp_path / "relu")
    assert status == 0, report
    assert executor_of(report) == (
        "generic_model_executor.py; a node asks ncn_native_executor first, which is "
        "not examined"
    )
    png = tmp_path / "x.png"
    png.write_bytes(b"x")
    _, report = examine(tmp_path / "relu", "--input", png)
    assert executor_of(report) == "generic_model_executor.py"


def test_a_request_is_held_to_the_manifests_time_out(
    tmp_path: Path, given: Path
) -> None:
    write_scripted_model(tmp_path, "hangs", BAD["hangs"][0])
    with (tmp_path / "hangs" / "model.toml").open("a") as manifest:
        manifest.write("\n[limits]\ntimeout_secs = 1\n")
    status, report = examine(tmp_path / "hangs", "--input", given)
    last = report["checks"][-1]
    assert (status, last["name"]) == (1, "run"), report
    assert "limits.timeout_secs" in last["message"]


def test_a_candidate_without_an_input_asks_for_one(tmp_path: Path) -> None:
    write_scripted_model(tmp_path, "good", GOOD)
    status, report = examine(tmp_path / "good")
    assert status == 1
    assert "--input" in report["checks"][-1]["message"]
    (tmp_path / "good" / "sample.txt").write_bytes(b"hi")
    with (tmp_path / "good" / "model.toml").open("a") as manifest:
        manifest.write('[warm_up]\ninput = "sample.txt"\n')
    assert examine(tmp_path / "good")[0] == 0


def test_a_folder_that_is_no_model_is_told_why(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "model.toml").write_text("[modle]\n")
    status, report = examine(tmp_path / "empty")
    assert status == 1
    assert "did you mean 'model'?" in report["checks"][0]["message"]
    result = ncn("executor", "test", tmp_path / "missing")
    assert result.returncode == 1
    assert "not a folder" in result.stdout


def test_people_read_a_line_for_each_step(tmp_path: Path, given: Path) -> None:
    write_scripted_model(tmp_path, "raises", BAD["raises"][0])
    result = ncn("executor", "test", tmp_path / "raises", "--input", given)
    assert result.returncode == 1
    assert "\nFAILED  run " in result.stdout
    assert "ZeroDivisionError" in result.stdout


def test_the_documented_example_passes(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "executors.md").read_text(encoding="utf-8")
    folder = tmp_path / "shout"
    folder.mkdir()
    for language, name in (("toml", "model.toml"), ("python", "shout.py")):
        text = page.split(f"```{language}\n", 1)[1].split("```", 1)[0]
        (folder / name).write_text(text)
    header = b'{"times":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}'
    data = len(header).to_bytes(8, "little") + header + (3).to_bytes(8, "little")
    (folder / "words.safetensors").write_bytes(data)
    (folder / "sample.txt").write_bytes(b"hello")
    status, report = examine(folder)
    assert status == 0, report
    assert "18 bytes of text/plain" in str(report["checks"])
