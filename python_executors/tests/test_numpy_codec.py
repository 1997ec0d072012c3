"""Tensors as numpy's files."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from ncn_executor import numpy_codec
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.manifest import TensorSpec
from ncn_executor.narrow_floats import narrow

NPY, NPZ = numpy_codec.NPY, numpy_codec.NPZ


def npy(array: Any, **options: Any) -> bytes:
    target = io.BytesIO()
    np.save(target, array, **options)
    return target.getvalue()


def npz(**arrays: Any) -> bytes:
    target = io.BytesIO()
    np.savez(target, **arrays)
    return target.getvalue()


def test_a_single_array_is_the_models_only_input() -> None:
    data = npy(np.arange(6, dtype=">f4").reshape(2, 3))
    found = numpy_codec.decode(data, NPY, [TensorSpec("image")]).tensors
    assert found["image"].dtype == np.float32
    assert found["image"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert list(numpy_codec.decode(data, NPY, []).tensors) == ["input_0"]
    with pytest.raises(ExecutorError, match="several inputs"):
        numpy_codec.decode(data, NPY, [TensorSpec("a"), TensorSpec("b")])


def test_an_archive_holds_arrays_by_name() -> None:
    fortran = np.asfortranarray(np.arange(4.0).reshape(2, 2))
    data = npz(a=fortran, b=np.array(["x", "y"]), c=np.array(7))
    found = numpy_codec.decode(data, NPZ, []).tensors
    assert found["a"].flags.c_contiguous
    assert found["b"].tolist() == ["x", "y"]
    assert found["c"].shape == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        npy(np.ones(9))[:-1],
        npy(np.array([{}], dtype=object), allow_pickle=True),
        npy(np.ones(1, np.complex64)),
        npy(np.array([b"x"])),
        npy(np.zeros(1, [("a", "f4")])),
    ],
)
def test_a_file_that_holds_no_plain_array_is_refused(data: bytes) -> None:
    with pytest.raises(ExecutorError) as caught:
        numpy_codec.decode(data, NPY, [])
    assert caught.value.code is ErrorCode.INVALID_INPUT
    assert caught.value.found


def test_a_pickle_in_an_archive_is_refused() -> None:
    data = npz(a=np.array([{}], dtype=object))
    with pytest.raises(ExecutorError, match="pickle|allow_pickle"):
        numpy_codec.decode(data, NPZ, [])
    with pytest.raises(ExecutorError):
        numpy_codec.decode(npz(a=np.ones(1))[:-30], NPZ, [])


def test_an_archive_that_unpacks_to_too_much_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(numpy_codec, "BYTES_MAX", 1 << 20)
    target = io.BytesIO()
    np.savez_compressed(target, a=np.zeros(1 << 20))
    with pytest.raises(ExecutorError) as caught:
        numpy_codec.decode(target.getvalue(), NPZ, [])
    assert caught.value.code is ErrorCode.INPUT_TOO_LARGE


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_the_same_name_twice_is_refused() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for _ in range(2):
            archive.writestr("a.npy", npy(np.ones(1)))
    with pytest.raises(ExecutorError, match="twice"):
        numpy_codec.decode(target.getvalue(), NPZ, [])


def test_answers_read_back_and_equal_answers_are_equal_bytes() -> None:
    outputs = {
        "y": np.array([np.nan, 1], np.float32),
        "t": np.array(["ä", "bc"], dtype=object),
        "h": narrow(np.array([1.5], np.float32), "BF16"),
    }
    data = numpy_codec.encode(outputs, NPZ)
    assert data == numpy_codec.encode(outputs, NPZ)
    with np.load(io.BytesIO(data)) as found:
        assert np.isnan(found["y"][0])
        assert found["t"].tolist() == ["ä", "bc"]
        assert found["h"].dtype == np.float32


def test_one_output_can_be_a_single_array() -> None:
    one = {"y": np.ones(2)}
    assert np.load(io.BytesIO(numpy_codec.encode(one, NPY))).tolist() == [1, 1]
    with pytest.raises(ExecutorError, match="several"):
        numpy_codec.encode({**one, "z": np.ones(1)}, NPY)
