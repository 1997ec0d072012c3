"""ONNX models with more than plain tensors, and manifests that contradict them."""

from pathlib import Path
from typing import Any

import model_files as files
import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from conftest import Run, question, tensor
from ncn_executor.backends.onnx_signature import ValueType
from ncn_executor.backends.onnx_values import OnnxValues
from ncn_executor.errors import ExecutorError

FP32, INT64, STRING, BF16 = 1, 7, 8, 16
helper = onnx.helper


def save(parent: Path, nodes: Any, inputs: Any, outputs: Any, opset: int = 17) -> Path:
    """A model of any value types."""
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    model = helper.make_model(
        graph, ir_version=9, opset_imports=[helper.make_opsetid("", opset)]
    )
    path = files.folder(parent, "graph") / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def insert(parent: Path) -> Path:
    """Appends x to the list s."""
    sequence = helper.make_tensor_sequence_value_info
    return save(
        parent,
        [helper.make_node("SequenceInsert", ["s", "x"], ["t"])],
        [sequence("s", FP32, None), helper.make_tensor_value_info("x", FP32, [1])],
        [sequence("t", FP32, None)],
    )


def test_lists_are_given_and_answered_element_by_element(
    run: Run, tmp_path: Path
) -> None:
    path = insert(tmp_path)
    x = tensor([3.0], [1])
    asked = question(tensor([1.0], [1], name="s[0]"), tensor([2], [1], name="s[1]"), x)
    outputs = run(path, asked).json["outputs"]
    assert [o["name"] for o in outputs] == ["t[0]", "t[1]", "t[2]"]
    assert [o["data"] for o in outputs] == [[1.0], [2.0], [3.0]]
    assert len(run(path, question(x)).json["outputs"]) == 1
    wanted = {**question(x), "outputs": [{"name": "t"}]}
    assert run(path, wanted).data == [3.0]


@pytest.mark.parametrize("name", ["s[1]", "s[x]", "s[", "s[99999999]"])
def test_elements_without_a_number_of_their_own_are_refused(
    run: Run, tmp_path: Path, name: str
) -> None:
    x = tensor([3.0], [1])
    answer = run(insert(tmp_path), question(tensor([1], [1], name=name), x))
    assert (answer.code, answer.error["field"]) == ("INVALID_INPUT", "inputs.s")


def test_an_optional_value_may_be_left_out(run: Run, tmp_path: Path) -> None:
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(FP32, [1]))
    path = save(
        tmp_path,
        [helper.make_node("OptionalHasElement", ["x"], ["y"])],
        [helper.make_value_info("x", kind)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.BOOL, [])],
        opset=18,
    )
    assert run(path, {"inputs": []}).data == [False]
    assert run(path, question(tensor([1.0], [1]))).data == [True]


def test_bfloat16_goes_in_and_comes_out(run: Run, tmp_path: Path) -> None:
    node = helper.make_node("Cast", ["x"], ["y"], to=BF16)
    back = helper.make_node("Cast", ["w"], ["z"], to=FP32)
    info = helper.make_tensor_value_info
    path = save(
        tmp_path,
        [node, back],
        [info("x", FP32, ["n"]), info("w", BF16, ["n"])],
        [info("y", BF16, ["n"]), info("z", FP32, ["n"])],
    )
    asked = question(tensor([1.5], [1]), tensor([2.5], [1], "BF16", "w"))
    answer = run(path, asked)
    found = [(o["datatype"], o["data"]) for o in answer.json["outputs"]]
    assert found == [("BF16", [1.5]), ("FP32", [2.5])]
    safe = run(path, asked, NCN_ACCEPT="application/x-safetensors").output
    assert safe is not None
    assert safetensors.torch.load(safe)["y"].dtype == torch.bfloat16


def test_a_model_without_inputs_takes_none(run: Run, tmp_path: Path) -> None:
    value = helper.make_tensor("v", FP32, [2], [1, 2])
    path = save(
        tmp_path,
        [helper.make_node("Constant", [], ["y"], value=value)],
        [],
        [helper.make_tensor_value_info("y", FP32, [2])],
    )
    assert run(path, {"inputs": []}).data == [1.0, 2.0]
    refused = run(path, question(tensor([1.0], [1])))
    assert refused.code == "INVALID_INPUT"


def test_an_operator_that_nobody_knows_makes_the_model_unsupported(
    run: Run, tmp_path: Path
) -> None:
    info = helper.make_tensor_value_info
    path = save(
        tmp_path,
        [helper.make_node("Frobnicate", ["x"], ["y"])],
        [info("x", FP32, [1])],
        [info("y", FP32, [1])],
    )
    answer = run(path, question(tensor([1.0], [1])))
    assert answer.code == "UNSUPPORTED_MODEL"
    assert "Frobnicate" in answer.error["message"]


def test_an_index_beyond_a_table_is_the_inputs_fault(run: Run, tmp_path: Path) -> None:
    table = helper.make_tensor("t", FP32, [3], [1, 2, 3])
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Gather", ["t", "i"], ["y"])],
        "g",
        [info("i", INT64, [1])],
        [info("y", FP32, [1])],
        [table],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, ir_version=9, opset_imports=[opset])
    path = files.folder(tmp_path, "table") / "m.onnx"
    path.write_bytes(model.SerializeToString())
    answer = run(path, question(tensor([7], [1], "INT64", "i")))
    assert (answer.code, answer.error["field"]) == ("INVALID_INPUT", "inputs.i.data")
    declared = '[[inputs]]\nname = "i"\nminimum = 0\nmaximum = 2'
    (path.parent / "model.toml").write_text(declared)
    answer = run(path, question(tensor([7], [1], "INT64", "i")))
    assert (answer.error["expected"], answer.error["found"]) == ("from 0 to 2", "7")


@pytest.mark.parametrize(
    ("manifest", "field", "expected", "found"),
    [
        ('[[inputs]]\nname = "z"', "inputs", "z", "x"),
        (
            '[[inputs]]\nname = "x"\ndatatype = "FP64"',
            "inputs.x.datatype",
            "FP64",
            "FP32",
        ),
        (
            '[[inputs]]\nname = "x"\nshape = [-1, 3]',
            "inputs.x.shape",
            "[any, 3]",
            "[any, 2]",
        ),
        ('[[inputs]]\nname = "x"\nshape = [2]', "inputs.x.shape", "[2]", "[any, 2]"),
        (
            '[[outputs]]\nname = "y"\nshape = [1, 2, 3]',
            "outputs.y.shape",
            "[1, 2, 3]",
            "[any, 2]",
        ),
    ],
)
def test_a_manifest_that_contradicts_the_file_is_told_how(
    run: Run, tmp_path: Path, manifest: str, field: str, expected: str, found: str
) -> None:
    shape = ["batch", 2]
    path = files.onnx_model(
        tmp_path,
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [("x", FP32, shape)],
        [("y", FP32, shape)],
        manifest,
    )
    answer = run(path, question(tensor([1, 2], [1, 2])))
    assert answer.code == "INVALID_MODEL"
    assert (answer.error["field"], answer.error["expected"]) == (field, expected)
    assert answer.error["found"] == found


class Node:
    """What a session says of an input or output."""

    def __init__(self, name: str, kind: str) -> None:
        self.name, self.type = name, kind
        self.shape: list[int] = []


@pytest.mark.parametrize(
    ("text", "container", "datatype"),
    [
        ("tensor(float)", "tensor", "FP32"),
        ("seq(tensor(string))", "seq", "BYTES"),
        ("optional(seq(tensor(int64)))", "seq", "INT64"),
        ("map(int64,tensor(float))", "map", "FP32"),
        ("seq(map(string,tensor(float)))", "seq", "FP32"),
        ("sparse_tensor(float)", "sparse_tensor", "FP32"),
        ("tensor(complex64)", "tensor", ""),
    ],
)
def test_types_are_taken_apart(text: str, container: str, datatype: str) -> None:
    value = ValueType.parse(text)
    assert (value.container, value.datatype) == (container, datatype)
    assert value.is_optional == text.startswith("optional")


@pytest.mark.parametrize(
    "kind", ["sparse_tensor(float)", "tensor(complex64)", "seq(tensor(bfloat16))"]
)
def test_a_type_that_no_request_can_give_is_unsupported(kind: str) -> None:
    with pytest.raises(ExecutorError) as caught:
        OnnxValues(None, [Node("x", kind)], [])
    assert (caught.value.field, caught.value.found) == ("inputs.x", kind)


def test_dictionaries_are_keys_and_values() -> None:
    kind = "map(string,tensor(float))"
    values = OnnxValues(None, [Node("m", kind)], [Node("y", f"seq({kind})")])
    given = {
        "m.keys": np.array(["a", "b"], dtype=object),
        "m.values": np.array([1, 2], np.float32),
    }
    assert values.feeds(given) == {"m": {"a": 1.0, "b": 2.0}}
    with pytest.raises(ExecutorError, match="not whole"):
        values.feeds({"m.keys": given["m.keys"]})
    rows = [{"a": 0.25, "b": 0.75}, {"a": 0.5, "b": 0.5}]
    found = values.outputs([rows])
    assert found["y.keys"].tolist() == ["a", "b"]
    assert found["y.values"].tolist() == [[0.25, 0.75], [0.5, 0.5]]
    uneven = values.outputs([[{"a": 1.0}, {"b": 2}]])
    assert list(uneven) == ["y[0].keys", "y[0].values", "y[1].keys", "y[1].values"]
    assert list(values.outputs([{"a": 1.0}])) == ["y.keys", "y.values"]
