#!/usr/bin/env python3
"""Makes models and requests of ONNX's node tests, and runs each with onnxruntime alone.

prepare.py FOLDER [EVERY]    in the runtime image; EVERY 40 takes each fortieth test

FOLDER/models/NAME/model.onnx and, where inputs need it, model.toml
FOLDER/requests/NAME.EXT
FOLDER/outside.json          name -> "", or why onnxruntime itself does not pass
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ncn_executor import numpy_codec, open_inference, safetensors_codec
from ncn_executor.datatypes import datatype_of, is_float, is_narrow
from ncn_executor.narrow_floats import bits
from ncn_executor.question import Question
from ncn_executor.tensors import first_non_finite, root_of
from node_cases import NARROW, Case, NotRunnable, all_tests, arrays, difference, is_text

NUMBERS = {name: number for number, (name, _) in NARROW.items()}


def main(folder: Path, every: int) -> None:
    tests = all_tests()[::every]
    # Debian's onnxruntime registers the operators of onnx again, which onnx's tests
    # must not see and which it says a lot about.
    errors, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    import onnxruntime  # noqa: F401

    os.dup2(errors, 2)
    outside: dict[str, str] = {}
    for test in tests:
        try:
            case = Case(test)
            write_model(folder / "models" / case.name, case)
            write_request(folder / "requests", case)
            outside[test.name] = in_child(case)
        except NotRunnable as reason:
            outside[test.name] = str(reason)
    (folder / "outside.json").write_text(json.dumps(outside, indent=1))


def write_model(folder: Path, case: Case) -> None:
    """The model, and what its owner would have to say about unusual inputs."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    unusual: dict[str, set[str]] = {}
    for name, array in arrays(case.inputs):
        flags = unusual.setdefault(root_of(name), set())
        if array.size == 0:
            flags.add("allow_empty")
        elif is_float(datatype_of(array)) and first_non_finite(array):
            flags.add("allow_non_finite")
    if any(unusual.values()):
        text = ""
        for info in case.model.graph.input:
            text += f'[[inputs]]\nname = "{info.name}"\n'
            flags = unusual.get(info.name, set())
            text += "".join(f"{flag} = true\n" for flag in sorted(flags))
        (folder / "model.toml").write_text(text)


def write_request(folder: Path, case: Case) -> None:
    """The inputs, in each of the forms in turn as far as it can hold them."""
    folder.mkdir(exist_ok=True)
    given = dict(arrays(case.inputs))
    every = [*given.values(), *case.outputs.values()]
    kinds = {datatype_of(array) for array in every}
    texts = any(is_text(array) for array in every)
    forms = ["bin"]
    if not any(is_narrow(kind) for kind in kinds):
        forms.append("npz")
    if not texts and not any(kind.endswith("UZ") for kind in kinds):
        forms.append("safetensors")
    if all(is_text(a) or not first_non_finite(a) for a in every):
        forms.append("json")
    form = forms[sum(map(ord, case.name)) % len(forms)]
    if form == "safetensors":
        data = safetensors_codec.encode(given, "", "", "")
    elif form == "npz":
        data = numpy_codec.encode(given, numpy_codec.NPZ)
    else:
        question = Question({}, all_binary=form == "bin")
        data, _ = open_inference.encode(given, {}, ("", ""), question)
        # A question lists as inputs what an answer lists as outputs.
        data = data.replace(b'"outputs":[', b'"inputs":[', 1)
    (folder / f"{case.name}.{form}").write_bytes(data)


def in_child(case: Case) -> str:
    """Runs a case in a process of its own, for onnxruntime may end it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, run(case).encode()[:4000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        said = stream.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    return said if status == 0 else f"ends the process with status {status}"


def run(case: Case) -> str:
    """Runs a case with onnxruntime and nothing else; "" when it passes."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            case.model.SerializeToString(), options, ["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        every = [*arrays(case.inputs), *case.outputs.items()]
        if any(is_narrow(datatype_of(array)) for _, array in every):
            values = [_bits_or_array(value) for value in _run_bits(session, case)]
        else:
            values = session.run(names, case.inputs)
    except Exception as error:  # onnxruntime's errors share no base class.
        return f"{type(error).__name__}: {error}".splitlines()[0][:300]
    found = dict(arrays(dict(zip(names, values))))
    right = {
        name: bits(array) if is_narrow(datatype_of(array)) else array
        for name, array in case.outputs.items()
    }
    return difference(right, found, case.tolerances)


def _run_bits(session: Any, case: Case) -> Any:
    """By OrtValues, which take and give bits where numpy has no type."""
    import onnxruntime

    feeds, kept = {}, []
    for name, array in case.inputs.items():
        kind = datatype_of(array)
        if is_narrow(kind):
            kept.append(np.ascontiguousarray(bits(array)))
            feeds[name] = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(
                kept[-1], NUMBERS[kind]
            )
        else:
            feeds[name] = onnxruntime.OrtValue.ortvalue_from_numpy(array)
    return session.run_with_ort_values(None, feeds)


def _bits_or_array(value: Any) -> Any:
    import ctypes

    widths = {number: width for number, (_, width) in NARROW.items()}
    if value.element_type() not in widths:
        return value.numpy()
    width = widths[value.element_type()]
    size = int(np.prod(value.shape())) * np.dtype(width).itemsize
    data = ctypes.string_at(value.data_ptr(), size)
    return np.frombuffer(data, width).reshape(value.shape())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
