"""Open Inference Protocol JSON: what is read, refused and written."""

import json
from typing import Any

import numpy as np
import pytest
from conftest import question, tensor
from ncn_executor import open_inference
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.manifest import TensorSpec
from ncn_executor.question import Question


def decode(body: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return open_inference.decode(data)


def refused(body: Any) -> ExecutorError:
    with pytest.raises(ExecutorError) as caught:
        decode(body)
    assert caught.value.code is ErrorCode.INVALID_INPUT
    return caught.value


@pytest.mark.parametrize(
    ("datatype", "data", "numpy_name"),
    [
        ("BOOL", [True, False], "bool"),
        ("INT8", [-128, 127], "int8"),
        ("INT16", [-1, 1], "int16"),
        ("INT32", [-1, 1], "int32"),
        ("INT64", [-(2**63), 2**63 - 1], "int64"),
        ("UINT8", [0, 255], "uint8"),
        ("UINT16", [0, 1], "uint16"),
        ("UINT32", [0, 1], "uint32"),
        ("UINT64", [0, 2**64 - 1], "uint64"),
        ("FP16", [0.5, -2], "float16"),
        ("FP32", [0.5, 1e-30], "float32"),
        ("FP64", [0.1, 1e300], "float64"),
    ],
)
def test_reads_every_datatype(datatype: str, data: list[Any], numpy_name: str) -> None:
    array = decode(question(tensor(data, [2], datatype))).tensors["x"]
    assert array.dtype == numpy_name
    assert array.tolist() == np.array(data, numpy_name).tolist()


def test_reads_texts() -> None:
    array = decode(question(tensor(["a", "ä"], [2], "BYTES"))).tensors["x"]
    assert array.tolist() == ["a", "ä"]


def test_flat_and_nested_data_are_the_same() -> None:
    flat = decode(question(tensor([1, 2, 3, 4], [2, 2]))).tensors["x"]
    nested = decode(question(tensor([[1, 2], [3, 4]], [2, 2]))).tensors["x"]
    assert flat.tolist() == nested.tolist() == [[1, 2], [3, 4]]


def test_keeps_the_id_and_the_outputs_wanted() -> None:
    asked = decode(question(tensor([1], [1]), id="r", outputs=[{"name": "p"}]))
    assert (asked.identifier, asked.outputs) == ("r", ("p",))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], ""),
        (b"\xff\xfe", ""),
        ({}, "inputs"),
        ({"inputs": 3}, "inputs"),
        ({"inputs": [1]}, "inputs[0]"),
        ({"inputs": [{"name": "x"}]}, "inputs[0].shape"),
        (question(tensor([1], [1], name="")), "inputs[0].name"),
        (question(tensor([1], [1]), tensor([1], [1])), "inputs[1].name"),
        (question(tensor([1], [1], "FLOAT")), "inputs[0].datatype"),
        (question(tensor([1], [1], 7)), "inputs[0].datatype"),  # type: ignore
        (question(tensor([1], 3)), "inputs[0].shape"),  # type: ignore
        (question(tensor([1], [-1])), "inputs[0].shape"),
        (question(tensor([1], [1.0])), "inputs[0].shape"),  # type: ignore
        (question(tensor([1], [True])), "inputs[0].shape"),
        (question(tensor([1], [1] * 17)), "inputs[0].shape"),
        (question(tensor(5, [1])), "inputs[0].data"),
        (question(tensor({}, [1])), "inputs[0].data"),
        (question(tensor([1, 2, 3], [2])), "inputs[0].data"),
        (question(tensor([1], [2**40, 2**40])), "inputs[0].data"),
        (question(tensor([[1, 2], [3, 4]], [4])), "inputs[0].data"),
        (question(tensor([[1, 2], [3]], [3])), "inputs[0].data"),
        (question(tensor(["1"], [1])), "inputs[0].data"),
        (question(tensor([None], [1])), "inputs[0].data"),
        (question(tensor([{}], [1])), "inputs[0].data"),
        (question(tensor([1.5], [1], "INT32")), "inputs[0].data"),
        (question(tensor([128], [1], "INT8")), "inputs[0].data"),
        (question(tensor([-1], [1], "UINT64")), "inputs[0].data"),
        (question(tensor([2**64], [1], "UINT64")), "inputs[0].data"),
        (question(tensor([-1, 2**64 - 1], [2], "UINT64")), "inputs[0].data"),
        (question(tensor([0.5, 2**63], [2], "UINT64")), "inputs[0].data"),
        (question(tensor([1], [1], "BOOL")), "inputs[0].data"),
        (question(tensor([True], [1], "FP32")), "inputs[0].data"),
        (question(tensor([1e39], [1], "FP32")), "inputs[0].data"),
        (question(tensor([1], [1], "BYTES")), "inputs[0].data"),
        (question(tensor([1], [1]), id=5), "id"),
        (question(tensor([1], [1]), id="x" * 300), "id"),
        (question(tensor([1], [1]), outputs=["p"]), "outputs"),
        (question(tensor([1], [1]), outputs="p"), "outputs"),
    ],
)
def test_a_wrong_request_is_refused_with_the_field(body: Any, field: str) -> None:
    error = refused(body)
    assert error.field == field
    assert error.expected
    assert error.found


def test_malformed_json_says_line_and_column() -> None:
    error = refused(b'{"inputs": [\n  {"name" "x"}]}')
    assert error.field == "line 2, column 11"
    assert "line 2, column 11" in error.message


@pytest.mark.parametrize("depth", [40, 70, 200_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    data = b"[" * depth + b"1" + b"]" * depth
    text = b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":%s}]}'
    assert refused(text % data).code is ErrorCode.INVALID_INPUT


def test_a_number_of_many_digits_is_refused() -> None:
    text = b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","data":[%s]}]}'
    assert refused(text % (b"9" * 10_000)).expected == "64 bits"


def test_errors_never_quote_the_data() -> None:
    error = refused(question(tensor(["the secret"], [1])))
    assert "secret" not in str(error.as_report())


def test_numbers_read_back_to_the_same_bits() -> None:
    array = np.random.default_rng(1).normal(size=100).astype(np.float32)
    text = open_inference.encode({"y": array}, {}, ("m", ""), Question({}, "r"))[0]
    answer = json.loads(text)
    assert np.array(answer["outputs"][0]["data"], np.float32).tobytes() == (
        array.tobytes()
    )
    assert (answer["model_name"], answer["id"]) == ("m", "r")
    assert "model_version" not in answer


def test_labels_and_texts_are_written() -> None:
    outputs = {
        "p": np.array([[0.5, 0.5]], np.float32),
        "t": np.array(["a", b"b"], dtype=object),
    }
    specs = {"p": TensorSpec("p", labels=("no", "yes"))}
    answer = json.loads(
        open_inference.encode(outputs, specs, ("m", "2"), Question({}))[0]
    )
    first, second = answer["outputs"]
    assert first["parameters"] == {"labels": ["no", "yes"]}
    assert first["shape"] == [1, 2]
    assert (second["datatype"], second["data"]) == ("BYTES", ["a", "b"])
    assert "parameters" not in second
    assert answer["model_version"] == "2"


@pytest.mark.parametrize(("value", "name"), [(np.nan, "NaN"), (np.inf, "Infinity")])
def test_an_output_that_json_cannot_say_proposes_safetensors(
    value: float, name: str
) -> None:
    with pytest.raises(ExecutorError, match="application/x-safetensors") as caught:
        open_inference.encode(
            {"y": np.array([value], np.float32)}, {}, ("m", ""), Question({})
        )
    assert (caught.value.field, caught.value.found) == ("outputs.y", name)
