"""The native executor through the whole node, beside the generic one."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Network, ncn, write_scripted_model

HERE = Path(__file__).resolve().parent
NATIVE, GENERIC = "ncn_native_executor", "generic_model_executor.py"
TENSOR = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
REQUEST = json.dumps({"inputs": [TENSOR]}).encode()

REFUSES = """
from ncn_executor import Executor, main
from ncn_executor.errors import ErrorCode, ExecutorError

class Refuses(Executor):
    def load(self, model_path, context):
        raise ExecutorError(ErrorCode.UNSUPPORTED_MODEL, "not a model for me")

    def run(self, request):
        raise AssertionError

if __name__ == "__main__":
    main(Refuses)
"""
# How an executor cannot run a model, and what the result says of it.
UNABLE = {
    "refuses": (REFUSES, "not a model for me"),
    "imports": (
        REFUSES.replace("raise ExecutorError(", "import no_such_package  # "),
        "no_such_package",
    ),
    "imports_at_once": ("import no_such_package\n" + REFUSES, "no_such_package"),
    "imports_in_a_plain_script": ("import no_such_package\n", "no_such_package"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The models and requests of native_models.py."""
    folder = tmp_path_factory.mktemp("native")
    command = [str(ROOT / "runtime_image" / "enter"), "--bind-rw", str(folder), "/work"]
    command += ["--bind", str(HERE), "/app", "--"]
    command += ["python3", "-s", "/app/native_models.py", "/work"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    script = (ROOT / "python_executors" / GENERIC).read_text(encoding="utf-8")
    for model in (folder / "python").iterdir():
        (model / "executor.py").write_text(script, encoding="utf-8")
    yield folder


def ask(
    network: Network, model: str, path: Path, content_type: str, accept: str = ""
) -> tuple[str, bytes, str]:
    """How it ended in the words of `ncn infer`, the answer, and the executor."""
    output = network.folder / "answer"
    output.unlink(missing_ok=True)
    flags: list[str | Path] = ["--content-type", content_type, "--output", output]
    result = network.infer(
        model, path, *flags, *(["--accept", accept] if accept else [])
    )
    lines = (result.stdout + result.stderr).splitlines()
    executors = [line.split()[1] for line in lines if line.startswith("executor ")]
    if result.returncode == 0:
        return "", output.read_bytes(), executors[0]
    return "\n".join(line for line in lines if "request_id" not in line), b"", ""


def test_answers_and_errors_are_those_of_the_generic_executor(
    start_network: Callable[..., Network], made: Path
) -> None:
    native = start_network(made / "native", "--isolation", "tenant")
    python = start_network(made / "python", "--isolation", "tenant")
    answered = refused = 0
    for model, content_type, file, accept in json.loads(
        (made / "requests.json").read_text(encoding="utf-8")
    ):
        request = (model, made / file, content_type, accept)
        said, answer, executor = ask(native, *request)
        expected, right, other = ask(python, *request)
        where = f"{request} {(made / file).read_bytes()[:300]!r}"
        assert said == expected, where
        assert answer == right, where
        if answer:
            assert (executor, other) == (NATIVE, f"{model}:executor.py")
        answered, refused = answered + bool(answer), refused + bool(said)
    assert answered > 60 and refused > 40


def test_weights_that_are_no_numbers_are_refused_by_their_name(
    start_network: Callable[..., Network], made: Path
) -> None:
    for level in ("request", "cold"):
        network = start_network(made / "native", "--isolation", level)
        x = {"name": "x", "shape": [3], "datatype": "FP64", "data": [1, 2, 3]}
        status, text = result_of(network, "wide", json.dumps({"inputs": [x]}).encode())
        assert status != 0
        assert "kind    MODEL_INVALID" in text, text
        assert "weights.w" in text and "1 NaN of 3" in text, text


def result_of(network: Network, model: str, data: bytes, *flags: str) -> Any:
    result = network.infer(model, data, *flags)
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize("level", ["request", "cold"])
def test_each_level_runs_it(
    start_network: Callable[..., Network], made: Path, level: str
) -> None:
    network = start_network(made / "native", "--isolation", level)
    status, text = result_of(network, "identity_fp32", REQUEST)
    assert status == 0, text + network.log()
    assert f"executor  {NATIVE}" in text
    assert f"isolation {level}" in text


@pytest.mark.parametrize("level", ["request", "rewind"])
def test_a_warm_up_divides_by_no_zero(
    start_network: Callable[..., Network], made: Path, level: str
) -> None:
    network = start_network(made / "native", "--isolation", level)
    x = {"name": "x", "shape": [2], "datatype": "INT64", "data": [2, 3]}
    request = json.dumps({"inputs": [x]}).encode()
    answer = network.folder / "answer"
    for model, right in (("quotient", [5, 3]), ("difference", [10, 5])):
        for _ in range(3):
            status, text = result_of(network, model, request, "--output", str(answer))
            assert status == 0, text + network.log()
            assert f"executor  {NATIVE}" in text
            assert json.loads(answer.read_bytes())["outputs"][0]["data"] == right
    assert "no ready sandbox" not in network.log(), network.log()


def test_images_go_to_the_generic_executor(
    start_network: Callable[..., Network], made: Path
) -> None:
    network = start_network(made / "native")
    grey = bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
        "0000000a49444154789c6368000000820081774cd72b0000000049454e44ae426082"
    )
    result = network.infer("picture", grey, name="grey.png")
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"executor  {GENERIC}" in result.stdout + result.stderr


@pytest.mark.parametrize("model", ["sequence", "nobodys"])
def test_what_it_cannot_run_the_generic_executor_is_asked(
    start_network: Callable[..., Network], made: Path, model: str
) -> None:
    network = start_network(made / "native")
    tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
    for _ in range(3):
        status, text = result_of(
            network, model, json.dumps({"inputs": [tensor]}).encode()
        )
        assert "--enable-execution-fallback" not in text
        if model == "sequence":
            assert status == 0, text
            assert f"executor  {GENERIC}" in text and f"{NATIVE}: " in text
        else:  # An operator that neither knows.
            assert status != 0
            assert "kind    MODEL_UNSUPPORTED" in text, text
            assert f"tried before: {NATIVE}: " in text
    socket = network.folder / "state" / "control.sock"
    listed = json.loads(
        ncn("models", "list", "--json", "--control-socket", socket).stdout
    )
    states = {entry["model"]: entry["state"] for entry in listed}
    assert states[model] != "QUARANTINED" or model == "nobodys"


def test_a_request_that_it_does_not_read_goes_to_the_generic_executor(
    start_network: Callable[..., Network], made: Path
) -> None:
    network = start_network(made / "native")
    body = json.loads(REQUEST)
    for parameters in ({}, {"parameters": {"binary_data_output": False}}, {}):
        status, text = result_of(
            network, "identity_fp32", json.dumps(body | parameters).encode()
        )
        assert status == 0, text + network.log()
        assert (f"executor  {GENERIC}" in text) == bool(parameters)


@pytest.mark.parametrize("level", ["request", "cold"])
def test_the_next_candidate_answers_where_fallback_is_enabled(
    start_network: Callable[..., Network], made: Path, tmp_path: Path, level: str
) -> None:
    models = tmp_path / "models"
    source = made / "native" / "identity_fp32" / "model.onnx"
    for name, (script, _) in UNABLE.items():
        write_scripted_model(models, name, script)
        (models / name / "model.safetensors").unlink()
        (models / name / "model.onnx").write_bytes(source.read_bytes())
        (models / name / "model.toml").write_text(
            '[executor]\nscript = "executor.py"\n'
        )

    alone = start_network(models, "--isolation", level)
    for name, (_, why) in UNABLE.items():
        status, text = result_of(alone, name, REQUEST)
        assert status != 0
        assert "MODEL_UNSUPPORTED" in text, text
        assert why in text and "--enable-execution-fallback" in text, text

    network = start_network(models, "--isolation", level, "--enable-execution-fallback")
    for name, (_, reason) in UNABLE.items():
        for again in (False, True):
            status, text = result_of(network, name, REQUEST)
            assert status == 0, text + network.log()
            assert f"executor  {GENERIC}" in text
            why = "as seen before" if again else reason
            assert f"{name}:executor.py" in text and why in text, text
            assert f"isolation {level}" in text
