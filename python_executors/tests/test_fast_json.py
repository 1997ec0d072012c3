"""The library reads what Python reads, or nothing."""

import ctypes
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncn_executor import fast_json, open_inference
from ncn_executor.errors import ExecutorError
from ncn_executor.question import Question

LIBRARY = Path(__file__).resolve().parents[2] / "build" / "bin" / "libncn_zygote.so"
Decode = Callable[[bytes], Question | None]


@pytest.fixture(scope="module")
def decode() -> Iterator[Decode]:
    if not LIBRARY.is_file():
        pytest.skip("build/bin/libncn_zygote.so is not built")
    yield fast_json.decoder(ctypes.PyDLL(str(LIBRARY)))


def request(datatype: str, shape: list[int], data: Any, **more: Any) -> bytes:
    tensor = {"name": "x", "datatype": datatype, "shape": shape, "data": data}
    return json.dumps({"inputs": [tensor], **more}).encode()


def same(found: Question, wanted: Question) -> bool:
    """Bit for bit, in the same order."""
    return (found.identifier, found.outputs) == (
        wanted.identifier,
        wanted.outputs,
    ) and [
        (name, array.dtype, array.shape, array.tobytes())
        for name, array in found.tensors.items()
    ] == [
        (name, array.dtype, array.shape, array.tobytes())
        for name, array in wanted.tensors.items()
    ]


@pytest.mark.parametrize(
    "data",
    [
        request("FP32", [2, 2], [1, 2.5, -3e-7, 0.1]),
        request("FP32", [2, 2], [[1, 2], [3, 4]], id="néw"),
        request("FP64", [3], [0.1, 1e300, -0.0], outputs=[{"name": "y"}]),
        request("FP16", [2], [0.1, 65504]),
        request("INT64", [2], [-(2**63), 2**63 - 1]),
        request("UINT64", [1], [2**64 - 1]),
        request("INT8", [1, 2], [[-128, 127]]),
        request("BOOL", [2], [True, False]),
        request("FP32", [], [7]),
    ],
)
def test_a_plain_request_is_read_to_the_same_bits(decode: Decode, data: bytes) -> None:
    found = decode(data)
    assert found is not None
    assert same(found, open_inference.decode(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        request("BYTES", [1], ["a text"]),
        request("FP32", [2], [1]),
        request("FP32", [1], [1e39]),
        request("INT8", [1], [128]),
        request("INT8", [1], [0.5]),
        request("FP32", [1], ["1"]),
        request("FP99", [1], [1]),
    ],
)
def test_everything_else_is_left_to_python(decode: Decode, data: bytes) -> None:
    assert decode(data) is None


def test_what_is_read_is_never_what_python_would_refuse_or_read_otherwise(
    decode: Decode,
) -> None:
    source = random.Random(1)
    seeds = [
        request("FP32", [3], [1, 2.5e3, -7e-2], id="abc", outputs=[{"name": "y"}]),
        request("INT64", [2, 2], [[1, -2], [30, 4]]),
    ]
    alphabet = b'0123456789.,-+eE[]{}":\\ NaInfty"datashp\x00\xc3\xa9'
    read = 0
    for _ in range(4000):
        data = bytearray(source.choice(seeds))
        for _ in range(source.randint(1, 3)):
            place = source.randrange(len(data))
            if source.random() < 0.3:
                del data[place]
            else:
                data[place] = source.choice(alphabet)
        found = decode(bytes(data))
        if found is None:
            continue
        read += 1
        try:
            wanted = open_inference.decode(bytes(data))
        except ExecutorError as error:
            pytest.fail(f"read {bytes(data)!r}, which is wrong: {error}")
        assert same(found, wanted), bytes(data)
    assert read > 100


def test_a_request_with_a_decoder_is_read_by_it_or_else_by_python(
    decode: Decode, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def counting(data: bytes) -> Question | None:
        asked.append(data)
        return decode(data)

    monkeypatch.setattr(open_inference, "fast_decode", counting)
    plain, texts = request("FP32", [1], [1]), request("BYTES", [1], ["a"])
    assert open_inference.decode(plain).tensors["x"] == np.float32(1)
    assert open_inference.decode(texts).tensors["x"][0] == "a"
    assert asked == [plain, texts]
