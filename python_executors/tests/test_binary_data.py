"""The binary extension of the Open Inference Protocol."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from ncn_executor import open_inference
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.question import Question

TEXTS = struct.pack("<I", 1) + b"a" + struct.pack("<I", 2) + "ä".encode()


def binary(data: bytes, size: Any, shape: list[int], datatype: str = "FP32") -> bytes:
    """A request with one tensor behind the JSON."""
    tensor: dict[str, Any] = {"name": "x", "shape": shape, "datatype": datatype}
    tensor["parameters"] = {"binary_data_size": size}
    return json.dumps({"inputs": [tensor]}).encode() + data


def test_bytes_behind_the_json_are_the_elements() -> None:
    values = np.array([[1, 2], [3, 4]], np.float32)
    asked = open_inference.decode(binary(values.tobytes(), 16, [2, 2]))
    assert asked.tensors["x"].tolist() == values.tolist()
    texts = open_inference.decode(binary(TEXTS, len(TEXTS), [2], "BYTES"))
    assert texts.tensors["x"].tolist() == ["a", "ä"]


def test_bytes_and_json_may_be_mixed_and_brackets_in_texts_do_not_count() -> None:
    body = {
        "id": 'a]}"{',
        "inputs": [
            {"name": "a", "shape": [1], "datatype": "INT64", "data": [7]},
            {
                "name": "b",
                "shape": [2],
                "datatype": "UINT8",
                "parameters": {"binary_data_size": 2},
            },
        ],
    }
    asked = open_inference.decode(json.dumps(body).encode() + b"}\x80")
    assert asked.identifier == 'a]}"{'
    assert {n: a.tolist() for n, a in asked.tensors.items()} == {
        "a": [7],
        "b": [0x7D, 0x80],
    }


@pytest.mark.parametrize(
    "data",
    [
        binary(bytes(15), 16, [4]),
        binary(bytes(17), 16, [4]),
        binary(bytes(16), 16, [3]),
        binary(bytes(16), -1, [4]),
        binary(bytes(16), "16", [4]),
        binary(bytes(16), 2**70, [4]),
        binary(b"\x02", 1, [1], "BOOL"),
        binary(TEXTS, len(TEXTS), [3], "BYTES"),
        binary(TEXTS, len(TEXTS), [1], "BYTES"),
        binary(b"\xff\xff\xff\xff", 4, [1], "BYTES"),
        binary(b"\1\0\0\0\xff", 5, [1], "BYTES"),
        binary(b"\1\0", 2, [1], "BYTES"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(data: bytes) -> None:
    with pytest.raises(ExecutorError) as caught:
        open_inference.decode(data)
    assert caught.value.code is ErrorCode.INVALID_INPUT
    assert caught.value.field
    assert caught.value.expected
    assert caught.value.found


@pytest.mark.parametrize("tail", [b"\xff", b" 1", b"{"])
def test_what_follows_plain_json_is_a_mistake(tail: bytes) -> None:
    with pytest.raises(ExecutorError) as caught:
        open_inference.decode(b'{"inputs": []}' + tail)
    assert caught.value.code is ErrorCode.INVALID_INPUT


@pytest.mark.parametrize(
    ("parameters", "chosen"),
    [
        ({}, []),
        ({"parameters": {"binary_data_output": True}}, ["y", "t"]),
        (
            {
                "outputs": [
                    {"name": "y", "parameters": {"binary_data": True}},
                    {"name": "t"},
                ]
            },
            ["y"],
        ),
        (
            {
                "parameters": {"binary_data_output": True},
                "outputs": [{"name": "y", "parameters": {"binary_data": False}}],
            },
            ["t"],
        ),
    ],
)
def test_a_request_says_which_outputs_come_as_bytes(
    parameters: dict[str, Any], chosen: list[str]
) -> None:
    asked = open_inference.decode(json.dumps({"inputs": [], **parameters}).encode())
    outputs = {
        "y": np.array([1.5], np.float32),
        "t": np.array(["a"], dtype=object),
    }
    data, kind = open_inference.encode(outputs, {}, ("m", ""), asked)
    assert kind == ("application/octet-stream" if chosen else "application/json")
    answer, _ = json.JSONDecoder().raw_decode(data.decode("latin-1"))
    found = [o["name"] for o in answer["outputs"] if "data" not in o]
    assert found == chosen
    size = sum(
        output.get("parameters", {}).get("binary_data_size", 0)
        for output in answer["outputs"]
    )
    assert size == 4 * ("y" in chosen) + 5 * ("t" in chosen)
    assert not size or data[-size:] == (
        (np.float32(1.5).tobytes() if "y" in chosen else b"")
        + (b"\1\0\0\0a" if "t" in chosen else b"")
    )


def test_bytes_can_say_what_json_cannot() -> None:
    outputs = {"y": np.array([np.nan], np.float32)}
    asked = Question({}, all_binary=True)
    data, _ = open_inference.encode(outputs, {}, ("m", ""), asked)
    assert np.isnan(np.frombuffer(data[-4:], np.float32)[0])
