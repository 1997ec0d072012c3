"""From the bytes of a request to tensors, and from tensors to an answer."""

import dataclasses
from collections.abc import Sequence

from ncn_executor import (
    binary_data,
    images,
    numpy_codec,
    open_inference,
    safetensors_codec,
    sounds,
)
from ncn_executor.contract import Request, Response
from ncn_executor.errors import ExecutorError, invalid_input
from ncn_executor.manifest import TensorSpec
from ncn_executor.preprocess import AudioPreprocess, ImagePreprocess
from ncn_executor.question import Question
from ncn_executor.tensors import Tensors, root_of

_ANSWER_TYPES = (
    open_inference.CONTENT_TYPE,
    safetensors_codec.CONTENT_TYPE,
    numpy_codec.NPZ,
    numpy_codec.NPY,
)
_TYPES = (*_ANSWER_TYPES, *images.CONTENT_TYPES, *sounds.CONTENT_TYPES)
# What a caller says who does not know, or sends bytes behind JSON.
_UNKNOWN_TYPES = ("", binary_data.CONTENT_TYPE, "*/*")
_FIRST_BYTES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF": "audio/wav",
    b"fLaC": "audio/flac",
    b"\x93NUMPY": numpy_codec.NPY,
    b"PK\x03\x04": numpy_codec.NPZ,
}


def content_type_of(request: Request) -> str:
    """The declared type, or what the first bytes look like."""
    if request.content_type in _TYPES:
        return request.content_type
    if request.content_type not in _UNKNOWN_TYPES:
        raise invalid_input(
            "the content type cannot be used",
            field="content_type",
            expected=", ".join(_TYPES),
            found=request.content_type[:80],
        )
    data = request.data
    for first, content_type in _FIRST_BYTES.items():
        if data.startswith(first):
            return content_type
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data):
        return safetensors_codec.CONTENT_TYPE
    return open_inference.CONTENT_TYPE


def answer_type(accept: str, content_type: str) -> str:
    """The form of the answer: what is asked for, else that of the question."""
    default = content_type if content_type in _ANSWER_TYPES else _ANSWER_TYPES[0]
    if default == numpy_codec.NPY:
        default = numpy_codec.NPZ  # However many outputs there are.
    if not accept.strip():
        return default
    for part in accept.lower().split(","):
        wanted = part.split(";", 1)[0].strip()
        if wanted in _ANSWER_TYPES:
            return wanted
        if wanted in ("*/*", "application/*"):
            return default
        if wanted == binary_data.CONTENT_TYPE:
            return wanted
    raise invalid_input(
        "no answer of an accepted type can be given",
        field="accept",
        expected=", ".join(_ANSWER_TYPES),
        found=accept[:80],
    )


def decode(
    request: Request, content_type: str, specs: Sequence[TensorSpec]
) -> Question:
    """Reads the tensors of a request in any of the forms."""
    if content_type == open_inference.CONTENT_TYPE:
        return open_inference.decode(request.data)
    if content_type == safetensors_codec.CONTENT_TYPE:
        return safetensors_codec.decode(request.data)
    if content_type in (numpy_codec.NPY, numpy_codec.NPZ):
        return numpy_codec.decode(request.data, content_type, specs)
    is_image = content_type in images.CONTENT_TYPES
    taken = ImagePreprocess if is_image else AudioPreprocess
    if len(specs) != 1 or not isinstance(specs[0].preprocess, taken):
        what = "an image" if is_image else "sound"
        raise invalid_input(
            f"this model does not take {what}: its model.toml declares no "
            "[inputs.preprocess] of that kind for a single input",
            field="content_type",
            expected=", ".join(_ANSWER_TYPES),
            found=content_type,
        )
    read = images.decode_image if is_image else sounds.decode_sound
    return Question({specs[0].name: read(request.data, content_type, specs[0])})


def encode(
    outputs: Tensors,
    request: Request,
    question: Question,
    answer_type: str,
    model: tuple[str, str],
    specs: Sequence[TensorSpec],
) -> Response:
    """Writes the outputs that were asked for.

    Args:
        model: its name and version.
        specs: the outputs as the manifest describes them.
    """
    chosen = _chosen(outputs, question.outputs)
    question = dataclasses.replace(
        question, identifier=question.identifier or request.request_id
    )
    if answer_type == safetensors_codec.CONTENT_TYPE:
        data = safetensors_codec.encode(chosen, *model, question.identifier)
    elif answer_type in (numpy_codec.NPY, numpy_codec.NPZ):
        data = numpy_codec.encode(chosen, answer_type)
    else:
        if answer_type == binary_data.CONTENT_TYPE:
            question = dataclasses.replace(question, all_binary=True)
        by_name = {spec.name: spec for spec in specs}
        data, answer_type = open_inference.encode(chosen, by_name, model, question)
    return Response(data, answer_type)


def _chosen(outputs: Tensors, wanted: Sequence[str]) -> Tensors:
    """The outputs of these names, and those within the structures of these names."""
    if not wanted:
        return outputs
    chosen: Tensors = {}
    for name in wanted:
        found = {n: a for n, a in outputs.items() if name in (n, root_of(n))}
        if not found:
            raise _no_output(name, outputs)
        chosen |= found
    return chosen


def _no_output(name: str, outputs: Tensors) -> ExecutorError:
    return invalid_input(
        f"the model has no output '{name[:80]}'",
        field=f"outputs.{name[:80]}",
        expected=", ".join(outputs),
        found=name[:80],
    )
