#!/usr/bin/env python3
"""Compares the node's answers with what ONNX's node tests expect.

compare.py FOLDER [EVERY]    in the runtime image, after prepare.py and the campaign

FOLDER/answers/NAME          the answer's bytes
FOLDER/answered.json         name -> "", or the failure that was the answer
FOLDER/inside.json           name -> "", or how the answer differs
"""

import json
import sys
from pathlib import Path

from ncn_executor import numpy_codec, open_inference, payload, safetensors_codec
from ncn_executor.contract import Request
from ncn_executor.errors import ExecutorError
from ncn_executor.tensors import Tensors
from node_cases import Case, all_tests, difference


def main(folder: Path, every: int) -> None:
    answered: dict[str, str] = json.loads((folder / "answered.json").read_text())
    inside: dict[str, str] = {}
    for test in all_tests()[::every]:
        if test.name not in answered:
            continue
        inside[test.name] = answered[test.name]
        if answered[test.name]:
            continue
        case = Case(test)
        try:
            found = read_answer((folder / "answers" / case.name).read_bytes())
        except ExecutorError as error:
            inside[case.name] = f"an answer that cannot be read: {error}"
        else:
            inside[case.name] = difference(case.outputs, found, case.tolerances)
    (folder / "inside.json").write_text(json.dumps(inside, indent=1))


def read_answer(data: bytes) -> Tensors:
    """The outputs, in their order, whatever the form."""
    form = payload.content_type_of(Request(data))
    if form == safetensors_codec.CONTENT_TYPE:
        return safetensors_codec.decode(data).tensors
    if form == numpy_codec.NPZ:
        return numpy_codec.decode(data, form, ()).tensors
    # An answer lists as outputs what a question lists as inputs.
    return open_inference.decode(data.replace(b'"outputs":[', b'"inputs":[', 1)).tensors


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
