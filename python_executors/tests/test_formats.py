"""Formats are told by content; damage and wrong names are errors."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.numpy
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.formats import detect_format, find_model


def zip_with(*names: str) -> bytes:
    """An archive of empty files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 100)
    return buffer.getvalue()


def onnx_bytes() -> bytes:
    """y = x + x."""
    node = onnx.helper.make_node("Add", ["x", "x"], ["y"])
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node], "g", [info("x", 1, [2])], [info("y", 1, [2])]
    )
    opset = onnx.helper.make_opsetid("", 17)
    model = onnx.helper.make_model(graph, ir_version=9, opset_imports=[opset])
    return bytes(model.SerializeToString())


CONTENT = {
    "torchscript": zip_with("m/data.pkl", "m/constants.pkl", "m/code/m.py"),
    "checkpoint": zip_with("m/data.pkl", "m/data/0"),
    "onnx": onnx_bytes(),
    "safetensors": safetensors.numpy.save({"x": np.ones(3, np.float32)}),
}


def error_of(path: Path) -> ExecutorError:
    with pytest.raises(ExecutorError) as caught:
        find_model(path)
    return caught.value


@pytest.mark.parametrize("kind", CONTENT)
def test_content_tells_the_format(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(CONTENT[kind])
    assert detect_format(path) == kind
    assert find_model(path).format == kind


@pytest.mark.parametrize("kind", CONTENT)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_a_truncated_file_is_an_invalid_model(
    tmp_path: Path, kind: str, part: float
) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(CONTENT[kind][: int(len(CONTENT[kind]) * part)])
    error = error_of(path)
    assert error.code is ErrorCode.INVALID_MODEL
    assert error.expected and error.found
    assert error.path == str(path)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("m.onnx", "safetensors"),
        ("m.safetensors", "onnx"),
        ("m.pt", "onnx"),
        ("m.onnx", "torchscript"),
    ],
)
def test_a_wrongly_named_file_is_an_invalid_model(
    tmp_path: Path, name: str, kind: str
) -> None:
    path = tmp_path / name
    path.write_bytes(CONTENT[kind])
    error = error_of(path)
    assert error.code is ErrorCode.INVALID_MODEL
    assert "its name" in error.message
    assert error.expected != error.found


def test_a_manifest_of_another_format_is_an_invalid_model(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(CONTENT["onnx"])
    (tmp_path / "model.toml").write_text('[model]\nformat = "torchscript"')
    error = error_of(tmp_path)
    assert error.expected == "a TorchScript archive"
    assert error.found == "an ONNX model"


@pytest.mark.parametrize(
    "content",
    [
        b"hello, I am no model at all",
        b"\x08\x07" + b"\xff" * 20,
        b"\x00" * 64,
        b"\x7fELF" + b"\x00" * 60,
        b"\xff" * 8 + b"{" + b"x" * 30,
    ],
)
def test_garbage_is_an_invalid_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(content)
    assert error_of(path).code is ErrorCode.INVALID_MODEL


def test_an_empty_file_is_an_invalid_model(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"")
    assert error_of(tmp_path / "m.pt").found == "0 bytes"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    error = error_of(tmp_path / "m.pt")
    assert error.code is ErrorCode.INVALID_MODEL
    assert "m.pt" in error.message


def test_a_folder_in_place_of_the_file_is_an_invalid_model(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text('[model]\nfile = "weights.pt"')
    (tmp_path / "weights.pt").mkdir()
    assert error_of(tmp_path).found == "a folder"


def test_a_zip_of_something_else_is_an_invalid_model(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(zip_with("word/document.xml"))
    assert "not of torch" in error_of(tmp_path / "m.pt").message


def test_a_bare_pickle_is_unsupported_and_never_loaded(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(pickle.dumps({"a": 1}, protocol=2))
    assert error_of(tmp_path / "m.pt").code is ErrorCode.UNSUPPORTED_MODEL


def test_safetensors_with_bytes_too_many_is_an_invalid_model(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(CONTENT["safetensors"] + b"x")
    assert "too many" in error_of(tmp_path / "m.safetensors").message


def test_safetensors_with_a_broken_header_is_an_invalid_model(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes((20).to_bytes(8, "little") + b"{" * 40)
    assert "damaged" in error_of(tmp_path / "m.safetensors").message


def test_a_folder_stands_for_its_only_model(tmp_path: Path) -> None:
    (tmp_path / "bark_model.onnx").write_bytes(CONTENT["onnx"])
    (tmp_path / "README.md").write_text("x")
    model = find_model(tmp_path)
    assert (model.path.name, model.name) == ("bark_model.onnx", "bark")


def test_a_folder_with_two_models_must_say_which(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(CONTENT["onnx"])
    (tmp_path / "b.onnx").write_bytes(CONTENT["onnx"])
    assert error_of(tmp_path).found == "2 files"
    (tmp_path / "model.toml").write_text('[model]\nfile = "b.onnx"')
    assert find_model(tmp_path).path.name == "b.onnx"


def test_the_manifest_of_another_file_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(CONTENT["onnx"])
    (tmp_path / "model.toml").write_text('[model]\nfile = "b.onnx"\nname = "b"')
    assert find_model(tmp_path / "a.onnx").name == "a"
