"""ONNX models through the file contract."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import model_files as files
import onnx
import pytest
from conftest import Run, question, tensor

ROOT = Path(__file__).resolve().parents[1]
SAFE = "application/x-safetensors"
X = [[0.5, -1.0], [2.0, 3.0]]
REQUEST = question(tensor(X, [2, 2]), id="r-1")
FP32, INT64, STRING = 1, 7, 8


def gemm(tmp_path: Path, manifest: str = "") -> Path:
    """An ONNX model that doubles [N, 2]."""
    node = onnx.helper.make_node("Add", ["x", "x"], ["y"])
    shape = ["batch", 2]
    return files.onnx_model(
        tmp_path, [node], [("x", FP32, shape)], [("y", FP32, shape)], manifest
    )


def test_onnx_answers_and_is_silent(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = run(gemm(tmp_path), REQUEST)
    assert answer.data == [1.0, -2.0, 4.0, 6.0]
    assert "onnxruntime" in answer.report["versions"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("item", "field"),
    [
        (tensor(X, [2, 2], name="image"), "inputs.image"),
        (tensor(X, [2, 2], "FP64"), "inputs.x.datatype"),
        (tensor([1, 2, 3], [1, 3]), "inputs.x.shape"),
    ],
)
def test_onnx_without_a_manifest_is_held_to_its_own_signature(
    run: Run, tmp_path: Path, item: dict[str, Any], field: str
) -> None:
    answer = run(gemm(tmp_path), question(item))
    assert (answer.code, answer.error["field"]) == ("INVALID_INPUT", field)


def test_an_onnx_manifest_must_name_the_models_tensors(
    run: Run, tmp_path: Path
) -> None:
    answer = run(gemm(tmp_path, '[[inputs]]\nname = "image"'), REQUEST)
    assert answer.code == "INVALID_MODEL"
    assert (answer.error["expected"], answer.error["found"]) == ("image", "x")


def test_onnx_takes_and_gives_texts(run: Run, tmp_path: Path) -> None:
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    path = files.onnx_model(
        tmp_path, [node], [("x", STRING, [1])], [("y", STRING, [1])]
    )
    asked = question(tensor(["häuser"], [1], "BYTES"))
    assert run(path, asked).data == ["häuser"]
    answer = run(path, asked, NCN_ACCEPT=SAFE)
    assert (answer.code, answer.error["field"]) == ("INVALID_INPUT", "outputs.y")


def test_an_onnx_operator_that_is_unknown_is_an_invalid_model(
    run: Run, tmp_path: Path
) -> None:
    node = onnx.helper.make_node("NoSuchOperator", ["x"], ["y"])
    path = files.onnx_model(tmp_path, [node], [("x", FP32, [1])], [("y", FP32, [1])])
    assert run(path, REQUEST).code in ("INVALID_MODEL", "UNSUPPORTED_MODEL")


def test_an_onnx_model_that_fails_without_shapes_blames_the_input(
    run: Run, tmp_path: Path
) -> None:
    node = onnx.helper.make_node("Reshape", ["x", "s"], ["y"])
    path = files.onnx_model(
        tmp_path,
        [node],
        [("x", FP32, ["n"]), ("s", INT64, ["m"])],
        [("y", FP32, None)],
    )
    asked = question(tensor([1, 2, 3], [3]), tensor([2, 2], [2], "INT64", "s"))
    answer = run(path, asked)
    assert answer.code in ("INVALID_INPUT", "INVALID_MODEL")
    assert answer.status == 1


def test_onnx_runs_without_torch(tmp_path: Path) -> None:
    path = gemm(tmp_path)
    (tmp_path / "input").write_text(json.dumps(REQUEST))
    code = (
        "import sys; from pathlib import Path\n"
        "from generic_model_executor import GenericModelExecutor as E\n"
        "from ncn_executor import Context, Request\n"
        "executor = E(); executor.load(Path(sys.argv[1]), Context())\n"
        "executor.run(Request(Path(sys.argv[2]).read_bytes()))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "input")],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stdout.strip() == "False", done.stderr
