"""From the bytes of a request to tensors, and from tensors to an answer."""

from collections.abc import Sequence

from ncn_executor import images, open_inference, safetensors_codec
from ncn_executor.contract import Request, Response
from ncn_executor.errors import ExecutorError, invalid_input
from ncn_executor.manifest import TensorSpec
from ncn_executor.question import Question
from ncn_executor.tensors import Tensors

_TYPES = (
    open_inference.CONTENT_TYPE,
    safetensors_codec.CONTENT_TYPE,
    *images.CONTENT_TYPES,
)
_ANSWER_TYPES = (open_inference.CONTENT_TYPE, safetensors_codec.CONTENT_TYPE)
# What a caller says who does not know.
_UNKNOWN_TYPES = ("", "application/octet-stream", "*/*")


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
    if data.startswith(b"\x89PNG"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data):
        return safetensors_codec.CONTENT_TYPE
    return open_inference.CONTENT_TYPE


def answer_type(accept: str, content_type: str) -> str:
    """The form of the answer: what is asked for, else that of the question."""
    default = content_type if content_type in _ANSWER_TYPES else _ANSWER_TYPES[0]
    if not accept.strip():
        return default
    for part in accept.lower().split(","):
        wanted = part.split(";", 1)[0].strip()
        if wanted in _ANSWER_TYPES:
            return wanted
        if wanted in ("*/*", "application/*"):
            return default
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
    takers = [spec for spec in specs if spec.preprocess is not None]
    if len(takers) != 1 or len(specs) != 1:
        raise invalid_input(
            "this model does not take an image: its model.toml declares no "
            "[inputs.preprocess] for a single input",
            field="content_type",
            expected=", ".join(_ANSWER_TYPES),
            found=content_type,
        )
    array = images.decode_image(request.data, content_type, takers[0])
    return Question({takers[0].name: array})


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
    for name in question.outputs:
        if name not in outputs:
            raise _no_output(name, outputs)
    chosen = {n: outputs[n] for n in (question.outputs or outputs)}
    identifier = question.identifier or request.request_id
    if answer_type == safetensors_codec.CONTENT_TYPE:
        data = safetensors_codec.encode(chosen, *model, identifier)
    else:
        by_name = {spec.name: spec for spec in specs}
        data = open_inference.encode(chosen, by_name, *model, identifier)
    return Response(data, answer_type)


def _no_output(name: str, outputs: Tensors) -> ExecutorError:
    return invalid_input(
        f"the model has no output '{name[:80]}'",
        field=f"outputs.{name[:80]}",
        expected=", ".join(outputs),
        found=name[:80],
    )
