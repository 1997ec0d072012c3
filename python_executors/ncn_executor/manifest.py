"""Reads model.toml, the file that describes a model folder.

Everything in it is optional, nothing unknown is accepted: a misspelt key
would otherwise be a setting that silently does not hold.
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ncn_executor.datatypes import DATATYPES
from ncn_executor.errors import ErrorCode, ExecutorError

FILE_NAME = "model.toml"
FORMATS = ("torchscript", "checkpoint", "onnx", "safetensors")
RANK_MAX = 16
_MANIFEST_BYTES_MAX = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class ImagePreprocess:
    """How pixels become a tensor: value = (pixel * scale - mean) / std.

    Attributes:
        color: "L" (grey) or "RGB".
        size: height and width that the image is resized to.
        scale: factor on pixels from 0 to 255.
        mean: subtracted, one number per channel or one for all.
        std: divided by, like mean.
        layout: "NCHW" or "NHWC"; N is 1.
        invert: replaces each pixel by 255 minus it, before all else.
    """

    color: str
    size: tuple[int, int]
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: str = "NCHW"
    invert: bool = False


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """One input or output. A dimension of -1 is any; a shape of None unknown."""

    name: str
    datatype: str | None = None
    shape: tuple[int, ...] | None = None
    allow_non_finite: bool = False
    preprocess: ImagePreprocess | None = None
    labels: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A checked model.toml; the default stands for none."""

    name: str = ""
    version: str = ""
    format: str = ""
    file: str = ""
    architecture: str = ""
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a folder, or the default where there is none."""
    path = folder / FILE_NAME
    try:
        with path.open("rb") as file:
            data = file.read(_MANIFEST_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Manifest()
    if len(data) > _MANIFEST_BYTES_MAX:
        raise _error("is too large", "", f"{_MANIFEST_BYTES_MAX} bytes at most", "more")
    try:
        return parse_manifest(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _error(f"is not TOML: {error}", "", "TOML 1.0 in UTF-8", "") from error


def parse_manifest(text: str) -> Manifest:
    """Checks the text of a manifest."""
    top = _Table("", tomllib.loads(text))
    top.only("model executor architecture inputs outputs limits hashes".split())
    model = top.table("model")
    model.only("name version format file license description".split())
    for key in ("license", "description"):
        model.text(key)
    executor = top.table("executor")
    executor.only(["script"])
    executor.text("script")
    limits = top.table("limits")
    limits.only(["timeout_secs", "memory_mb"])
    for key in ("timeout_secs", "memory_mb"):
        limits.number(key, 1, low=1)
    hashes = top.table("hashes")
    for key in hashes.values:
        digest = hashes.text(key)
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise _error(
                "names no SHA-256", f"hashes.{key}", "64 lower-case hex digits", "other"
            )
    architecture = top.table("architecture")
    return Manifest(
        name=model.text("name"),
        version=model.text("version"),
        format=model.choice("format", "", FORMATS),
        file=_file_name(model),
        architecture=architecture.text("name"),
        parameters={k: v for k, v in architecture.values.items() if k != "name"},
        inputs=_specs(top, "inputs"),
        outputs=_specs(top, "outputs"),
    )


def _file_name(model: "_Table") -> str:
    """The model's file: a name inside the folder, never a way out of it."""
    name = model.text("file")
    if name in (".", "..") or "/" in name or "\0" in name:
        raise _error("leaves its folder", "model.file", "a plain file name", repr(name))
    return name


def _specs(top: "_Table", key: str) -> tuple[TensorSpec, ...]:
    """The tensors of `[[inputs]]` or `[[outputs]]`."""
    specs: list[TensorSpec] = []
    for table in top.tables(key):
        known = ["name", "datatype", "shape"]
        is_input = key == "inputs"
        table.only(
            known + (["allow_non_finite", "preprocess"] if is_input else ["labels"])
        )
        name = table.text("name")
        if not name:
            raise _error("needs a name", f"{table.path}.name", "a text", "nothing")
        if any(spec.name == name for spec in specs):
            raise _error("names a tensor twice", f"{table.path}.name", "", repr(name))
        shape = table.integers("shape", low=-1)
        specs.append(
            TensorSpec(
                name=name,
                datatype=table.choice("datatype", "", DATATYPES) or None,
                shape=shape if "shape" in table.values else None,
                allow_non_finite=table.flag("allow_non_finite"),
                preprocess=_preprocess(table) if "preprocess" in table.values else None,
                labels=table.texts("labels"),
            )
        )
    return tuple(specs)


def _preprocess(parent: "_Table") -> ImagePreprocess:
    """The image part of an input."""
    table = parent.table("preprocess")
    table.only("kind color size scale mean std layout invert".split())
    table.choice("kind", "image", ("image",))
    color = table.choice("color", "RGB", ("L", "RGB"))
    size = table.integers("size", low=1)
    if len(size) != 2 or max(size) > 16384:
        found = f"{len(size)} numbers"
        raise _error("has no size", f"{table.path}.size", "[height, width]", found)
    channels = 1 if color == "L" else 3
    std = table.numbers("std", (1.0,), channels)
    if 0.0 in std:
        raise _error("divides by zero", f"{table.path}.std", "not zero", "0")
    return ImagePreprocess(
        color=color,
        size=(size[0], size[1]),
        scale=table.number("scale", 1.0),
        mean=table.numbers("mean", (0.0,), channels),
        std=std,
        layout=table.choice("layout", "NCHW", ("NCHW", "NHWC")),
        invert=table.flag("invert"),
    )


class _Table:
    """A TOML table whose values are checked as they are taken."""

    def __init__(self, path: str, values: Mapping[str, Any]) -> None:
        self.path = path
        self.values = values

    def only(self, known: Iterable[str]) -> None:
        """Refuses a key outside `known`, proposing the nearest."""
        known = list(known)
        for key in self.values:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                raise _error(
                    f"has an unknown key '{key}'{hint}",
                    self._at(key),
                    ", ".join(known),
                    key,
                )

    def table(self, key: str) -> "_Table":
        return _Table(self._at(key), self._typed(key, dict, {}, "a table"))

    def tables(self, key: str) -> "list[_Table]":
        items = self._typed(key, list, [], "an array of tables")
        for item in items:
            if not isinstance(item, dict):
                raise self._wrong(key, "an array of tables", item)
        return [_Table(f"{self._at(key)}[{i}]", item) for i, item in enumerate(items)]

    def text(self, key: str) -> str:
        return str(self._typed(key, str, "", "a text"))

    def texts(self, key: str) -> tuple[str, ...]:
        items = self._typed(key, list, [], "a list of texts")
        if not all(isinstance(item, str) for item in items):
            raise self._wrong(key, "a list of texts", items)
        return tuple(items)

    def flag(self, key: str) -> bool:
        return bool(self._typed(key, bool, False, "true or false"))

    def choice(self, key: str, default: str, choices: Iterable[str]) -> str:
        value = self.text(key) or default
        if value not in (*choices, default):
            raise self._wrong(key, "one of " + ", ".join(choices), value)
        return value

    def number(self, key: str, default: float, low: float | None = None) -> float:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong(key, "a number", value)
        if value != value or abs(value) == float("inf"):
            raise self._wrong(key, "a finite number", value)
        if low is not None and value < low:
            raise self._wrong(key, f"at least {low}", value)
        return float(value)

    def numbers(
        self, key: str, default: tuple[float, ...], channels: int
    ) -> tuple[float, ...]:
        value = self.values.get(key, list(default))
        items = value if isinstance(value, list) else [value]
        if len(items) not in (1, channels):
            raise self._wrong(key, f"1 or {channels} numbers", items)
        return tuple(_Table(self.path, {key: i}).number(key, 0.0) for i in items)

    def integers(self, key: str, low: int) -> tuple[int, ...]:
        items = self._typed(key, list, [], "a list of whole numbers")
        for item in items:
            if isinstance(item, bool) or not isinstance(item, int) or item < low:
                raise self._wrong(key, f"whole numbers from {low}", item)
        if len(items) > RANK_MAX:
            raise self._wrong(key, f"at most {RANK_MAX} dimensions", items)
        return tuple(items)

    def _typed(self, key: str, kind: type, default: Any, expected: str) -> Any:
        value = self.values.get(key, default)
        if not isinstance(value, kind):
            raise self._wrong(key, expected, value)
        return value

    def _wrong(self, key: str, expected: str, value: Any) -> ExecutorError:
        found = f"{type(value).__name__} {str(value)[:80]}"
        return _error(f"has a wrong '{key}'", self._at(key), expected, found)

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def _error(what: str, field: str, expected: str, found: str) -> ExecutorError:
    """An error of the manifest."""
    return ExecutorError(
        ErrorCode.INVALID_MANIFEST,
        f"{FILE_NAME} {what}",
        field=field,
        expected=expected,
        found=found,
        path=FILE_NAME,
    )
