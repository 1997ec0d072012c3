"""Inputs made up before the first request."""

import numpy as np
import pytest
from ncn_executor.manifest import TensorSpec
from ncn_executor.preprocess import ImagePreprocess
from ncn_executor import payload
from ncn_executor.warm_up import made_up_inputs, made_up_request

GREY = ImagePreprocess("L", (28, 20))
COLOUR = ImagePreprocess("RGB", (28, 20), layout="NHWC")


@pytest.mark.parametrize(
    ("spec", "full", "shape", "dtype"),
    [
        (TensorSpec("x", "FP32", (-1, 3)), True, (1, 3), "float32"),
        (TensorSpec("x", "INT64", (2, -1)), False, (2, 1), "int64"),
        (TensorSpec("x", "BOOL", ()), False, (), "bool"),
        (TensorSpec("x", "FP32", (-1, 1, -1, -1)), True, (1, 1, 1, 1), "float32"),
        (
            TensorSpec("x", "FP32", (-1, 1, -1, -1), preprocess=GREY),
            *(True, (1, 1, 28, 20), "float32"),
        ),
        (
            TensorSpec("x", "FP32", (-1, 1, -1, -1), preprocess=GREY),
            *(False, (1, 1, 1, 1), "float32"),
        ),
        (TensorSpec("x", preprocess=COLOUR), False, (1, 28, 20, 3), "float32"),
        (TensorSpec("x", "UINT8", preprocess=COLOUR), True, (1, 28, 20, 3), "uint8"),
    ],
)
def test_inputs_have_the_declared_shape(
    spec: TensorSpec, full: bool, shape: tuple[int, ...], dtype: str
) -> None:
    found = made_up_inputs([spec], full)["x"]
    assert (found.shape, str(found.dtype)) == (shape, dtype)
    # A division by a whole zero ends a process; a fraction has digits, as requests do.
    value = {"float32": np.float32(0.12345679), "bool": False}.get(dtype, 1)
    assert (found == value).all()


def test_texts_are_empty() -> None:
    found = made_up_inputs([TensorSpec("x", "BYTES", (-1, 2))], True)["x"]
    assert found.tolist() == [["", ""]]
    assert found.dtype == np.dtype(object)


@pytest.mark.parametrize(
    "unknown",
    [
        TensorSpec("y"),
        TensorSpec("y", "FP32"),
        TensorSpec("y", None, (1, 2)),
        TensorSpec("y", "FP64", (1 << 40, 1 << 40)),
    ],
)
def test_one_input_that_is_not_known_leaves_none(unknown: TensorSpec) -> None:
    assert made_up_inputs([TensorSpec("x", "FP32", (1,)), unknown], True) == {}


def test_no_declared_input_is_no_input() -> None:
    assert made_up_inputs([], True) == {}


@pytest.mark.parametrize(
    ("specs", "content_type"),
    [
        ([TensorSpec("x", "FP32", (-1, 1, 28, 20), preprocess=GREY)], "image/png"),
        ([TensorSpec("x", "UINT8", preprocess=COLOUR)], "image/png"),
        (
            [TensorSpec("x", "INT64", (-1, 2)), TensorSpec("y", "BYTES", (1,))],
            "application/json",
        ),
    ],
)
def test_a_made_up_request_gives_the_made_up_inputs(
    specs: list[TensorSpec], content_type: str
) -> None:
    inputs = made_up_inputs(specs, True)
    request = made_up_request(specs, inputs)
    assert request is not None
    assert request.content_type == content_type
    found = payload.decode(request, content_type, specs).tensors
    assert {n: (a.shape, a.dtype) for n, a in found.items()} == {
        n: (a.shape, a.dtype) for n, a in inputs.items()
    }


def test_what_is_long_in_json_is_made_up_as_safetensors() -> None:
    many = [TensorSpec("x", "FP32", (1000, 1000)), TensorSpec("y", "INT8", (3,))]
    request = made_up_request(many, made_up_inputs(many, True))
    assert request is not None
    assert request.content_type == "application/x-safetensors"
    found = payload.decode(request, request.content_type, many).tensors
    assert found["x"].shape == (1000, 1000)
    assert found["y"].tolist() == [1, 1, 1]


def test_there_is_no_request_without_inputs_or_with_too_many_texts() -> None:
    many = [TensorSpec("x", "BYTES", (1000, 1000))]
    assert made_up_request(many, made_up_inputs(many, True)) is None
    assert made_up_request([TensorSpec("x")], {}) is None
