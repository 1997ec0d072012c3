"""Tensors as the JSON of the Open Inference Protocol (version 2, REST), and with its
binary extension."""

import json
from collections.abc import Callable
from typing import Any

from ncn_executor import binary_data
from ncn_executor.datatypes import DATATYPES, datatype_of
from ncn_executor.errors import ExecutorError, invalid_input
from ncn_executor.json_data import kind_of, to_array, to_json, too_deep
from ncn_executor.manifest import TensorSpec
from ncn_executor.manifest_table import RANK_MAX
from ncn_executor.question import Question
from ncn_executor.tensors import Array, Tensors, first_non_finite

CONTENT_TYPE = "application/json"
INPUTS_MAX = 4096


# Reads plain tensors faster than Python, where a zygote has found it; None leaves a
# request to Python.
fast_decode: Callable[[bytes], Question | None] | None = None


def decode(data: bytes) -> Question:
    """Reads a request; says where it is wrong when it is."""
    if fast_decode is not None and b'"parameters"' not in data:
        question = fast_decode(data)
        if question is not None:
            return question
    body, tail = _parse(data)
    items = body.get("inputs")
    if not isinstance(items, list) or len(items) > INPUTS_MAX:
        raise invalid_input(
            "the request lists no inputs",
            field="inputs",
            expected=f"a list of at most {INPUTS_MAX} tensors",
            found=f"{len(items)} tensors"
            if isinstance(items, list)
            else kind_of(items),
        )
    tensors: Tensors = {}
    for index, item in enumerate(items):
        name, array = _tensor(f"inputs[{index}]", item, tail)
        if name in tensors:
            raise invalid_input(
                f"the input '{name}' is given twice",
                field=f"inputs[{index}].name",
                expected="each name once",
                found="twice",
            )
        tensors[name] = array
    tail.end()
    identifier = body.get("id", "")
    if not isinstance(identifier, str) or len(identifier) > 256:
        raise invalid_input(
            "the id cannot be used",
            field="id",
            expected="a text of at most 256 characters",
            found=kind_of(identifier),
        )
    wanted = _wanted_outputs(body)
    choices = {name: _parameter(item, "binary_data") for name, item in wanted}
    return Question(
        tensors,
        identifier,
        tuple(name for name, _ in wanted),
        _parameter(body, "binary_data_output") is True,
        {name: choice for name, choice in choices.items() if choice is not None},
    )


def encode(
    outputs: Tensors,
    specs: dict[str, TensorSpec],
    model: tuple[str, str],
    question: Question,
) -> tuple[bytes, str]:
    """Writes an answer; every number in it reads back to the same bits.

    Args:
        model: its name and version.

    Returns:
        The bytes and their media type, which is JSON's unless bytes follow it.
    """
    answer: dict[str, Any] = {"model_name": model[0]}
    if model[1]:
        answer["model_version"] = model[1]
    answer["id"] = question.identifier
    tail: list[bytes] = []
    answer["outputs"] = []
    for name, array in outputs.items():
        behind = question.binary.get(name, question.all_binary)
        written = binary_data.to_bytes(array) if behind else None
        answer["outputs"].append(_output(name, array, specs.get(name), written))
        tail += [] if written is None else [written]
    text = json.dumps(answer, allow_nan=False, separators=(",", ":")).encode()
    if tail:
        return b"".join((text, *tail)), binary_data.CONTENT_TYPE
    return text, CONTENT_TYPE


def _parse(data: bytes) -> tuple[dict[str, Any], binary_data.Tail]:
    """The request and what follows it, with the place of the first mistake."""
    tail = binary_data.Tail(b"")
    try:
        body = _load(data)
    except ExecutorError:
        end = binary_data.json_bytes(data)
        if f'"{binary_data.SIZE}"'.encode() not in data[:end]:
            raise
        body, tail = _load(data[:end]), binary_data.Tail(data[end:])
    if isinstance(body, dict):
        return body, tail
    raise invalid_input(
        "the request is not an object",
        expected='{"inputs": [...]}',
        found=kind_of(body),
    )


def _load(data: bytes) -> Any:
    """JSON, with the place of the first mistake."""
    try:
        return json.loads(data.decode())
    except UnicodeDecodeError as error:
        raise invalid_input(
            "the request is not UTF-8", expected="UTF-8", found=f"byte {error.start}"
        ) from error
    except json.JSONDecodeError as error:
        raise invalid_input(
            f"malformed JSON in line {error.lineno}, column {error.colno}: {error.msg}",
            field=f"line {error.lineno}, column {error.colno}",
            expected="JSON",
            found=error.msg,
        ) from error
    except RecursionError as error:
        raise too_deep() from error
    except ValueError as error:  # An integer of more than 4300 digits.
        raise invalid_input(
            "a number in the request is too long", expected="64 bits", found="more"
        ) from error


def _tensor(field: str, item: Any, tail: binary_data.Tail) -> tuple[str, Array]:
    """One tensor of the request."""
    if not isinstance(item, dict):
        raise invalid_input(
            "an input is not an object",
            field=field,
            expected='{"name", "shape", "datatype", "data"}',
            found=kind_of(item),
        )
    size = _parameter(item, binary_data.SIZE)
    for key in ("name", "shape", "datatype", *(["data"] if size is None else [])):
        if key not in item:
            raise invalid_input(
                f"'{key}' is missing",
                field=f"{field}.{key}",
                expected="name, shape, datatype and data",
                found=", ".join(str(k)[:40] for k in list(item)[:8]) or "nothing",
            )
    name, datatype = item["name"], item["datatype"]
    if not isinstance(name, str) or not 1 <= len(name) <= 256:
        raise invalid_input(
            "an input has no usable name",
            field=f"{field}.name",
            expected="a text of 1 to 256 characters",
            found=kind_of(name),
        )
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise invalid_input(
            f"the datatype of '{name}' is not known",
            field=f"{field}.datatype",
            expected=", ".join(DATATYPES),
            found=repr(datatype[:40])
            if isinstance(datatype, str)
            else kind_of(datatype),
        )
    shape = _shape(f"{field}.shape", item["shape"])
    if size is not None:
        return name, tail.take(field, size, datatype, shape)
    return name, to_array(f"{field}.data", item["data"], datatype, shape)


def _shape(field: str, value: Any) -> tuple[int, ...]:
    """A list of dimensions."""
    if (
        isinstance(value, list)
        and len(value) <= RANK_MAX
        and all(type(d) is int and 0 <= d < 2**63 for d in value)
    ):
        return tuple(value)
    raise invalid_input(
        "a shape cannot be used",
        field=field,
        expected=f"a list of at most {RANK_MAX} whole numbers",
        found=kind_of(value) if not isinstance(value, list) else "other elements",
    )


def _parameter(item: dict[str, Any], key: str) -> Any:
    """One of the optional `parameters`; None when there is none."""
    parameters = item.get("parameters")
    return parameters.get(key) if isinstance(parameters, dict) else None


def _wanted_outputs(body: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The outputs that the request asks for, by name; none means all."""
    items = body.get("outputs", [])
    if isinstance(items, list) and len(items) <= INPUTS_MAX:
        wanted = [
            (str(item["name"]), item)
            for item in items
            if isinstance(item, dict) and isinstance(item.get("name"), str)
        ]
        if len(wanted) == len(items):
            return wanted
    raise invalid_input(
        "the list of outputs cannot be used",
        field="outputs",
        expected='a list of {"name": ...}',
        found=kind_of(items) if not isinstance(items, list) else "other elements",
    )


def _output(
    name: str, array: Array, spec: TensorSpec | None, written: bytes | None
) -> dict[str, Any]:
    """One tensor of the answer, whose elements may be `written` behind it."""
    bad = "" if written is not None else first_non_finite(array)
    if bad:
        raise invalid_input(
            f"the output '{name}' holds {bad}, which JSON cannot say: ask for "
            "application/x-safetensors",
            field=f"outputs.{name}",
            expected="finite numbers, or accept application/x-safetensors",
            found=bad,
        )
    output: dict[str, Any] = {
        "name": name,
        "shape": list(array.shape),
        "datatype": datatype_of(array),
    }
    if spec is not None and spec.labels:
        output["parameters"] = {"labels": list(spec.labels)}
    if written is None:
        output["data"] = to_json(array)
    else:
        output.setdefault("parameters", {})[binary_data.SIZE] = len(written)
    return output
