"""Reads model.toml, the file that describes a model folder.

Everything in it is optional, nothing unknown is accepted: a misspelt key
would otherwise be a setting that silently does not hold.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ncn_executor.datatypes import DATATYPES
from ncn_executor.manifest_table import FILE_NAME, Table, error
from ncn_executor.preprocess import Preprocess, read_preprocess

__all__ = ["FILE_NAME", "Manifest", "TensorSpec", "parse_manifest", "read_manifest"]

FORMATS = ("torchscript", "checkpoint", "onnx", "safetensors")
MANIFEST_BYTES_MAX = 256 * 1024
TIMEOUT_SECS_MAX = 86400
MEMORY_MB_MAX = 1 << 22
# The keys of each table; those of [architecture] are its network's to check.
KEYS = {
    "": "model executor architecture inputs outputs limits warm_up hashes".split(),
    "model": "name version format file license description".split(),
    "executor": ["script"],
    "inputs": "name datatype shape optional allow_empty allow_non_finite minimum "
    "maximum preprocess".split(),
    "outputs": "name datatype shape labels".split(),
    "limits": "timeout_secs memory_mb".split(),
    "warm_up": "input content_type".split(),
}


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """One input or output. A dimension of -1 is any; a shape of None unknown.

    Attributes:
        optional: a request may leave it out.
        nested: a list, tuple or dictionary, whose tensors are called NAME[0] or
            NAME.key; never a manifest's, but the model's own.
        minimum: elements may not be below it.
        maximum: nor above this.
        labels: what each index of the last dimension means.
    """

    name: str
    datatype: str | None = None
    shape: tuple[int, ...] | None = None
    optional: bool = False
    nested: bool = False
    allow_empty: bool = False
    allow_non_finite: bool = False
    minimum: float | None = None
    maximum: float | None = None
    preprocess: Preprocess | None = None
    labels: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A checked model.toml; the default stands for none."""

    name: str = ""
    version: str = ""
    format: str = ""
    file: str = ""
    script: str = ""
    architecture: str = ""
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    warm_up_input: str = ""
    warm_up_type: str = ""


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a folder, or the default where there is none."""
    path = folder / FILE_NAME
    try:
        with path.open("rb") as file:
            data = file.read(MANIFEST_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Manifest()
    if len(data) > MANIFEST_BYTES_MAX:
        raise error("is too large", "", f"{MANIFEST_BYTES_MAX} bytes at most", "more")
    try:
        return parse_manifest(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise error(
            f"is not TOML: {problem}", "", "TOML 1.0 in UTF-8", "something else"
        ) from problem


def parse_manifest(text: str) -> Manifest:
    """Checks the text of a manifest."""
    top = Table("", tomllib.loads(text))
    top.only(KEYS[""])
    tables = {name: top.table(name) for name in ("model", "executor", "warm_up")}
    for name, table in tables.items():
        table.only(KEYS[name])
    model, warm_up = tables["model"], tables["warm_up"]
    for key in ("license", "description"):
        model.text(key)
    _check_limits(top.table("limits"))
    _check_hashes(top.table("hashes"))
    architecture = top.table("architecture")
    if "content_type" in warm_up.values and "input" not in warm_up.values:
        raise error("has a wrong 'warm_up'", "warm_up.input", "a file", "nothing")
    return Manifest(
        name=model.line("name"),
        version=model.line("version"),
        format=model.choice("format", "", FORMATS),
        file=model.file_name("file"),
        script=tables["executor"].file_name("script"),
        architecture=architecture.line("name"),
        parameters={k: v for k, v in architecture.values.items() if k != "name"},
        inputs=_specs(top, "inputs"),
        outputs=_specs(top, "outputs"),
        warm_up_input=warm_up.file_name("input"),
        warm_up_type=warm_up.line("content_type"),
    )


def _check_limits(limits: Table) -> None:
    """They are the node's to keep."""
    limits.only(KEYS["limits"])
    limits.whole("timeout_secs", 1, 1, TIMEOUT_SECS_MAX)
    limits.whole("memory_mb", 1, 1, MEMORY_MB_MAX)


def _check_hashes(hashes: Table) -> None:
    """They are the node's to compare."""
    for key in hashes.values:
        digest = hashes.text(key)
        if not key or any(part in ("", ".", "..") for part in key.split("/")):
            expected = "the relative path of a file in the model's folder"
            raise error("names no file", f"hashes.{key}", expected, repr(key[:80]))
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise error(
                "names no SHA-256", f"hashes.{key}", "64 lower-case hex digits", "other"
            )


def _specs(top: Table, key: str) -> tuple[TensorSpec, ...]:
    """The tensors of `[[inputs]]` or `[[outputs]]`."""
    specs: list[TensorSpec] = []
    for table in top.tables(key):
        table.only(KEYS[key])
        name = table.line("name")
        if not name:
            raise error("needs a name", table.at("name"), "a text", "nothing")
        if any(spec.name == name for spec in specs):
            raise error(
                "names a tensor twice", table.at("name"), "each once", repr(name)
            )
        given = table.values
        spec = TensorSpec(
            name=name,
            datatype=table.choice("datatype", "", DATATYPES) or None,
            shape=table.integers("shape", low=-1) if "shape" in given else None,
            optional=table.flag("optional"),
            allow_empty=table.flag("allow_empty"),
            allow_non_finite=table.flag("allow_non_finite"),
            minimum=table.number("minimum", 0) if "minimum" in given else None,
            maximum=table.number("maximum", 0) if "maximum" in given else None,
            preprocess=(
                read_preprocess(table.table("preprocess"))
                if "preprocess" in given
                else None
            ),
            labels=table.texts("labels"),
        )
        low, high = spec.minimum, spec.maximum
        if low is not None and high is not None and low > high:
            raise table.wrong("maximum", f"at least {low}", high)
        specs.append(spec)
    return tuple(specs)
