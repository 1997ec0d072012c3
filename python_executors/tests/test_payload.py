"""Which form a request and its answer have."""

import json
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch
from conftest import question, tensor
from ncn_executor import Request, payload, safetensors_codec
from ncn_executor.datatypes import datatype_of
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.manifest import TensorSpec
from ncn_executor.narrow_floats import widen
from ncn_executor.preprocess import ImagePreprocess
from ncn_executor.question import Question
from ncn_executor.tensors import Tensors, check_inputs

JSON, SAFE = "application/json", "application/x-safetensors"
BODY = json.dumps(question(tensor([1.0], [1]))).encode()
FILE = safetensors.numpy.save({"x": np.ones(2, np.float32)}, {"id": "r"})


@pytest.mark.parametrize(
    ("declared", "data", "found"),
    [
        (JSON, FILE, JSON),
        ("", BODY, JSON),
        ("application/octet-stream", FILE, SAFE),
        ("", b"\x89PNG\r\n", "image/png"),
        ("", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("", b"RIFF....WAVE", "audio/wav"),
        ("", b"fLaC", "audio/flac"),
        ("", b"\x93NUMPY", "application/x-npy"),
        ("", b"PK\x03\x04", "application/x-npz"),
        ("image/jpeg", b"", "image/jpeg"),
    ],
)
def test_the_declared_type_wins_else_the_first_bytes(
    declared: str, data: bytes, found: str
) -> None:
    assert payload.content_type_of(Request(data, declared)) == found


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ExecutorError) as caught:
        payload.content_type_of(Request(b"x", "text/csv"))
    assert (caught.value.field, caught.value.found) == ("content_type", "text/csv")


@pytest.mark.parametrize(
    ("accept", "asked", "answered"),
    [
        ("", JSON, JSON),
        ("", SAFE, SAFE),
        ("", "image/png", JSON),
        ("*/*", SAFE, SAFE),
        ("application/*;q=0.5", JSON, JSON),
        ("text/html, Application/X-Safetensors;q=0.9", JSON, SAFE),
        (JSON, SAFE, JSON),
        ("", "application/x-npy", "application/x-npz"),
        ("application/octet-stream", JSON, "application/octet-stream"),
    ],
)
def test_the_answer_has_the_form_of_the_question_unless_asked_otherwise(
    accept: str, asked: str, answered: str
) -> None:
    assert payload.answer_type(accept, asked) == answered


def test_a_form_that_cannot_be_given_is_refused() -> None:
    with pytest.raises(ExecutorError) as caught:
        payload.answer_type("text/html", JSON)
    assert caught.value.field == "accept"


def test_a_safetensors_request_keeps_order_and_id() -> None:
    data = safetensors.numpy.save(
        {"b": np.ones(2, np.float32), "a": np.ones(1, np.int64)}, {"id": "r-9"}
    )
    asked = safetensors_codec.decode(data)
    assert asked.identifier == "r-9"
    assert set(asked.tensors) == {"a", "b"}
    assert asked.tensors["a"].dtype == np.int64


@pytest.mark.parametrize("data", [b"", b"\x00" * 20, FILE[:-1], b"\xff" * 40])
def test_a_broken_safetensors_request_is_refused(data: bytes) -> None:
    with pytest.raises(ExecutorError) as caught:
        safetensors_codec.decode(data)
    assert caught.value.code is ErrorCode.INVALID_INPUT


def test_bfloat16_passes_through_safetensors() -> None:
    import safetensors.torch

    wide = torch.tensor([1.5, -3.0])
    data = safetensors.torch.save({"x": wide.to(torch.bfloat16)})
    array = safetensors_codec.decode(data).tensors["x"]
    assert datatype_of(array) == "BF16"
    assert widen(array).tolist() == [1.5, -3.0]
    again = safetensors.torch.load(safetensors_codec.encode({"x": array}, "", "", ""))
    assert torch.equal(again["x"].float(), wide)


def test_a_safetensors_type_without_a_name_here_is_refused() -> None:
    text = json.dumps({"x": {"dtype": "C64", "shape": [1], "data_offsets": [0, 8]}})
    for word in (text, text.replace("C64", "F8_E8M0").replace("8]", "1]")):
        head = word.encode()
        with pytest.raises(ExecutorError) as caught:
            safetensors_codec.decode(len(head).to_bytes(8, "little") + head + bytes(8))
        assert caught.value.code is ErrorCode.INVALID_INPUT


def test_every_element_of_a_safetensors_answer_is_aligned() -> None:
    outputs: Tensors = {"a": np.ones(3, np.int8), "b": np.ones(2, np.float64)}
    data = safetensors_codec.encode(outputs, "m", "", "r")
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert list(header) == ["__metadata__", "a", "b"]
    assert header["b"]["data_offsets"] == [0, 16]
    assert safetensors.numpy.load(data)["a"].tolist() == [1, 1, 1]


def test_an_image_needs_an_input_that_says_how() -> None:
    request = Request(b"\x89PNG", "image/png")
    how = ImagePreprocess("L", (1, 1))
    image = TensorSpec("image", preprocess=how)
    cases: list[list[TensorSpec]] = [[], [TensorSpec("x")], [image, TensorSpec("more")]]
    for specs in cases:
        with pytest.raises(ExecutorError, match="does not take an image"):
            payload.decode(request, "image/png", specs)


def test_only_the_outputs_asked_for_are_answered() -> None:
    outputs = {"a": np.ones(1, np.float32), "b": np.zeros(1, np.float32)}
    request = Request(b"", request_id="from the node")
    asked = Question({}, "", ("b",))
    answer = payload.encode(outputs, request, asked, JSON, ("m", ""), [])
    body = json.loads(answer.data)
    assert [output["name"] for output in body["outputs"]] == ["b"]
    assert body["id"] == "from the node"
    with pytest.raises(ExecutorError, match="no output 'c'"):
        missing = Question({}, "", ("c",))
        payload.encode(outputs, request, missing, JSON, ("m", ""), [])


def test_safetensors_answers_carry_nan_and_refuse_texts() -> None:
    outputs = {"y": np.array([np.nan, 1], np.float32)}
    data = safetensors_codec.encode(outputs, "m", "1", "r")
    assert np.isnan(safetensors.numpy.load(data)["y"][0])
    texts = {"t": np.array(["a"], dtype=object)}
    with pytest.raises(ExecutorError, match="application/json"):
        safetensors_codec.encode(texts, "m", "", "")


X = TensorSpec("x", "FP32", (-1, 2))


@pytest.mark.parametrize(
    ("name", "array", "field"),
    [
        ("y", np.ones((1, 2), np.float32), "inputs.y"),
        ("x", np.ones((1, 2), np.float64), "inputs.x.datatype"),
        ("x", np.ones((1, 3), np.float32), "inputs.x.shape"),
        ("x", np.ones(2, np.float32), "inputs.x.shape"),
        ("x", np.ones((0, 2), np.float32), "inputs.x.shape"),
        ("x", np.array([[np.nan, 1]], np.float32), "inputs.x.data"),
        ("x", np.array([[np.inf, 1]], np.float32), "inputs.x.data"),
    ],
)
def test_inputs_are_held_against_their_declaration(
    name: str, array: Any, field: str
) -> None:
    with pytest.raises(ExecutorError) as caught:
        check_inputs({name: array}, [X])
    assert caught.value.field == field
    assert caught.value.expected
    assert caught.value.found


def test_inputs_come_in_the_order_of_the_model() -> None:
    one = np.ones(1, np.float32)
    specs = [TensorSpec("a"), TensorSpec("b")]
    assert list(check_inputs({"b": one, "a": one}, specs)) == ["a", "b"]
    with pytest.raises(ExecutorError, match="'b' is missing"):
        check_inputs({"a": one}, specs)
    with pytest.raises(ExecutorError, match="no input"):
        check_inputs({}, specs)


def test_nan_passes_where_the_manifest_allows_it() -> None:
    nan = np.array([np.nan], np.float32)
    spec = TensorSpec("x", allow_non_finite=True)
    assert check_inputs({"x": nan}, [spec])
    with pytest.raises(ExecutorError):
        check_inputs({"x": nan}, [])
