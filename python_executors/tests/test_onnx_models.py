"""ONNX models through the file contract."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import model_files as files
import numpy as np
import onnx
import pytest
from conftest import Run, question, tensor
from ncn_executor.backends.onnx_weights import refuse_nan
from ncn_executor.errors import ExecutorError
from ncn_executor.formats import ModelFile
from ncn_executor.manifest import Manifest

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


NAN = float("nan")
DOUBLE, HALF, BRAIN = 11, 10, 16


def weighted(tmp_path: Path, weights: Any) -> Path:
    """Gives what it holds, times the input."""
    kind, shape = weights.data_type, [*weights.dims]
    nodes = [
        onnx.helper.make_node("Cast", ["w"], ["wide"], to=FP32),
        onnx.helper.make_node("Mul", ["x", "wide"], ["y"]),
    ]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "g", [info("x", FP32, [1])], [info("y", FP32, shape)], [weights]
    )
    opset = onnx.helper.make_opsetid("", 17)
    model = onnx.helper.make_model(graph, ir_version=9, opset_imports=[opset])
    folder = tmp_path / f"m{kind}"
    folder.mkdir(exist_ok=True)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("kind", [FP32, DOUBLE, HALF, BRAIN])
def test_onnx_weights_that_are_no_numbers_are_refused(
    run: Run, tmp_path: Path, kind: int, raw: bool
) -> None:
    sound = onnx.helper.make_tensor("w", kind, [4], [1, float("inf"), -1e4, 0])
    wrong = onnx.helper.make_tensor("w", kind, [4], [1, NAN, 2, -NAN])
    if raw:
        arrays = [np.array([1, float("inf"), -1e4, 0]), np.array([1, NAN, 2, -NAN])]
        for tensor_, array in zip((sound, wrong), arrays):
            tensor_.CopyFrom(raw_tensor(kind, array))
    one = question(tensor([1], [1]))
    assert run(weighted(tmp_path, sound), one, NCN_ACCEPT=SAFE).status == 0
    answer = run(weighted(tmp_path, wrong), one)
    assert (answer.code, answer.error["field"]) == ("INVALID_MODEL", "weights.w")
    assert answer.error["found"] == "2 NaN of 4"


def raw_tensor(kind: int, array: Any) -> Any:
    """With its elements as bytes."""
    if kind == BRAIN:
        data = (array.astype(np.float32).view(np.uint32) >> 16).astype("<u2")
    else:
        sizes = {FP32: np.float32, DOUBLE: np.float64, HALF: np.float16}
        data = array.astype(sizes[kind])
    return onnx.helper.make_tensor("w", kind, [*array.shape], data.tobytes(), raw=True)


def test_onnx_weights_beside_the_model_are_looked_at_too(
    run: Run, tmp_path: Path
) -> None:
    weights = onnx.helper.make_tensor("w", FP32, [3], [0, 0, 0])
    weights.ClearField("float_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "w.bin"), ("offset", "4"), ("length", "12")):
        weights.external_data.add(key=key, value=value)
    path = weighted(tmp_path, weights)
    one = question(tensor([1], [1]))
    for values, status in (([NAN, 1, 2, 3, NAN], 0), ([0, 1, NAN, 3, 4], 1)):
        data = np.array(values, np.float32).tobytes()
        (path.parent / "w.bin").write_bytes(data)
        assert run(path, one).status == status
    assert run(path, one).error["found"] == "1 NaN of 3"


def test_a_lone_constant_that_is_no_number_is_none_of_the_weights(
    run: Run, tmp_path: Path
) -> None:
    path = weighted(tmp_path, onnx.helper.make_tensor("w", FP32, [1], [NAN]))
    assert run(path, question(tensor([1], [1])), NCN_ACCEPT=SAFE).status == 0


def test_what_is_damaged_is_passed_over(tmp_path: Path) -> None:
    path = weighted(tmp_path, onnx.helper.make_tensor("w", FP32, [2], [1, NAN]))
    data = path.read_bytes()
    for size in range(0, len(data), 3):
        path.write_bytes(data[:size])
        with contextlib.suppress(ExecutorError):
            refuse_nan(ModelFile(path, "onnx", Manifest()))
