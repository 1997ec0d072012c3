"""Tells what a model file is from its content, then from its name."""

import dataclasses
import json
import os
import zipfile
from pathlib import Path
from typing import BinaryIO

from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.manifest import FILE_NAME, Manifest, read_manifest

# Which formats a file of that name may hold.
EXTENSIONS = {
    ".pt": ("torchscript", "checkpoint"),
    ".pth": ("torchscript", "checkpoint"),
    ".onnx": ("onnx",),
    ".safetensors": ("safetensors",),
}
_NAMES = {
    "torchscript": "a TorchScript archive",
    "checkpoint": "a torch.save checkpoint",
    "onnx": "an ONNX model",
    "safetensors": "a safetensors file",
}
_SAFETENSORS_HEADER_BYTES_MAX = 100_000_000
# Fields of ONNX's ModelProto; the highest number in use is 25, with room to grow.
_ONNX_FIELD_MAX, _ONNX_IR_VERSION, _ONNX_GRAPH = 100, 1, 7


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """A model file whose content agrees with its name and its manifest."""

    path: Path
    format: str
    manifest: Manifest

    @property
    def name(self) -> str:
        """The model's name: the manifest's, else the file's without suffix."""
        return self.manifest.name or self.path.stem.removesuffix("_model")


def find_model(path: Path) -> ModelFile:
    """Finds the model that `path`, a file or its folder, stands for."""
    folder = path if path.is_dir() else path.parent
    manifest = read_manifest(folder)
    if path.is_dir():
        path = _file_in(folder, manifest)
    elif manifest.file and manifest.file != path.name:
        # Beside a flat collection of models, the manifest is another model's.
        manifest = Manifest()
    found = detect_format(path)
    if manifest.format and manifest.format != found:
        raise _invalid(
            path,
            f"{path.name} is not what {FILE_NAME} says",
            _NAMES[manifest.format],
            _NAMES[found],
        )
    wanted = EXTENSIONS.get(path.suffix.lower())
    if wanted and found not in wanted:
        raise _invalid(
            path,
            f"{path.name} is not what its name says",
            " or ".join(_NAMES[name] for name in wanted),
            _NAMES[found],
        )
    return ModelFile(path, found, manifest)


def detect_format(path: Path) -> str:
    """The format of a file's content; a damaged file is an error."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(16)
            if not head:
                raise _invalid(path, "the model file is empty", "a model", "0 bytes")
            if head.startswith(b"PK\x03\x04"):
                return _zip_format(path, file)
            if head[8:9] == b"{" and _is_safetensors(path, file, size):
                return "safetensors"
            if _is_onnx(path, file, size):
                return "onnx"
    except FileNotFoundError as error:
        raise _invalid(
            path, f"the model file is missing: {path}", "a file", "nothing"
        ) from error
    except IsADirectoryError as error:
        raise _invalid(path, f"{path} is a folder", "a file", "a folder") from error
    if head[:1] == b"\x80" and head[1] <= 5:
        raise ExecutorError(
            ErrorCode.UNSUPPORTED_MODEL,
            f"{path.name} is a bare pickle, as torch.save wrote before version 1.6: "
            "save it again with a newer torch, or as safetensors",
            expected="a zip archive",
            found="a pickle",
            path=str(path),
        )
    wanted = EXTENSIONS.get(path.suffix.lower(), tuple(_NAMES))
    raise _invalid(
        path,
        f"{path.name} is no model",
        " or ".join(_NAMES[name] for name in wanted),
        f"{size} bytes that start with {head[:4].hex(' ')}",
    )


def _file_in(folder: Path, manifest: Manifest) -> Path:
    """The model file of a folder: the one named, else the only one."""
    if manifest.file:
        return folder / manifest.file
    files = [f for f in folder.iterdir() if f.suffix.lower() in EXTENSIONS]
    if len(files) == 1:
        return files[0]
    raise _invalid(
        folder,
        f"which file of {folder.name} is the model? Say so in {FILE_NAME}: "
        '[model] file = "..."',
        "one file that ends in " + ", ".join(EXTENSIONS),
        f"{len(files)} files",
    )


def _zip_format(path: Path, file: BinaryIO) -> str:
    """Both of torch's formats are zip archives with a pickle inside."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise _invalid(
            path,
            f"{path.name} is cut off or damaged",
            "a whole zip archive, as torch writes",
            "a zip archive without its end",
        ) from error
    parts = {name.partition("/")[2] for name in names}
    if "constants.pkl" in parts or any(part.startswith("code/") for part in parts):
        return "torchscript"
    if "data.pkl" in parts:
        return "checkpoint"
    raise _invalid(
        path,
        f"{path.name} is a zip archive, but not of torch",
        "a TorchScript archive or a torch.save checkpoint",
        f"a zip archive of {len(names)} files without data.pkl",
    )


def _is_safetensors(path: Path, file: BinaryIO, size: int) -> bool:
    """Checks that a safetensors header describes exactly this file."""
    file.seek(0)
    header_bytes = int.from_bytes(file.read(8), "little")
    if header_bytes > _SAFETENSORS_HEADER_BYTES_MAX:
        return False
    header_text = file.read(header_bytes)
    try:
        if len(header_text) < header_bytes:
            raise ValueError("the header is cut off")
        header = json.loads(header_text)
        ends = [v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"]
        wanted = 8 + header_bytes + max(ends, default=0)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise _invalid(
            path,
            f"{path.name} is cut off or damaged",
            "a whole safetensors file",
            "a safetensors header that cannot be read",
        ) from error
    if size != wanted:
        raise _invalid(
            path,
            f"{path.name} is cut off or has bytes too many",
            f"{wanted} bytes, by its safetensors header",
            f"{size} bytes",
        )
    return True


def _is_onnx(path: Path, file: BinaryIO, size: int) -> bool:
    """Walks the outermost protobuf fields, skipping their contents."""
    file.seek(0)
    seen: set[int] = set()
    position = 0
    while position < size:
        file.seek(position)
        head = file.read(20)
        tag, used = _varint(head)
        field, wire_type = tag >> 3, tag & 7
        if not 1 <= field <= _ONNX_FIELD_MAX or wire_type not in (0, 2):
            return False
        value, used_more = _varint(head[used:])
        if used == 0 or used_more == 0:
            return False
        # ir_version leads every ONNX file.
        if not seen and (field, wire_type) != (_ONNX_IR_VERSION, 0):
            return False
        seen.add(field)
        position += used + used_more + (value if wire_type == 2 else 0)
    if position > size:
        if len(seen) < 2:
            return False
        raise _invalid(
            path,
            f"{path.name} is cut off",
            f"at least {position} bytes, by its ONNX fields",
            f"{size} bytes",
        )
    return _ONNX_GRAPH in seen


def _varint(data: bytes) -> tuple[int, int]:
    """A protobuf number and how many bytes it took; 0 bytes when broken."""
    value = 0
    for index, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, index + 1
    return 0, 0


def _invalid(path: Path, message: str, expected: str, found: str) -> ExecutorError:
    return ExecutorError(
        ErrorCode.INVALID_MODEL,
        message,
        field="model",
        expected=expected,
        found=found,
        path=str(path),
    )
