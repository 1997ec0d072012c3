"""Requests to Bark, and answers that are requests to the next stage.

A request is a text, JSON with `text` and parameters, or the tokens of some stage as
Open Inference Protocol JSON or safetensors. Answers of tokens repeat the parameters, so
that each can be sent on to the next stage as it is.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ncn_executor import open_inference, payload, safetensors_codec
from ncn_executor.bark import codec
from ncn_executor.bark import constants as bark
from ncn_executor.bark.options import Options, parse_options
from ncn_executor.contract import Request, Response
from ncn_executor.errors import ErrorCode, ExecutorError, first_line, invalid_input
from ncn_executor.question import Question
from ncn_executor.tensors import Array, Tensors, shape_text

TEXT_TYPE = "text/plain"
TEXT_CHARS_MAX = 16384
TOKENS_MAX = 1 << 20
REQUEST_BYTES_MAX = 64 * 1024 * 1024
_TOKEN_TYPES = (open_inference.CONTENT_TYPE, safetensors_codec.CONTENT_TYPE)
_SOUND_TYPES = (codec.CONTENT_TYPE, "audio/x-wav", "audio/wave", "audio/*")
_UNKNOWN_TYPES = ("", "application/octet-stream", "*/*")
# Name of a tensor -> its shape and the size of its vocabulary.
TOKENS: dict[str, tuple[tuple[int, ...], int]] = {
    "text_tokens": ((-1,), bark.TEXT_VOCAB_SIZE),
    "semantic_tokens": ((-1,), bark.SEMANTIC_VOCAB_SIZE),
    "coarse_tokens": ((bark.COARSE_CODEBOOKS, -1), bark.CODEBOOK_SIZE),
    "fine_tokens": ((bark.FINE_CODEBOOKS, -1), bark.CODEBOOK_SIZE),
}


@dataclasses.dataclass(frozen=True)
class SpeechQuestion:
    """A checked request.

    Attributes:
        name: of what is given: "text", or a key of TOKENS.
        text: set when that is "text".
        tokens: int64, set otherwise.
        options: the parameters, checked.
        parameters: the same as they came, to be sent on.
        identifier: the caller's id for this request; may be "".
        outputs: the names wanted; empty means the last.
        form: content type of the question when it has tokens, else that of JSON.
    """

    name: str
    text: str
    tokens: Array | None
    options: Options
    parameters: Mapping[str, Any]
    identifier: str
    outputs: tuple[str, ...]
    form: str


def read_question(request: Request) -> SpeechQuestion:
    """Reads a request in any of its forms."""
    if len(request.data) > REQUEST_BYTES_MAX:
        raise ExecutorError(
            ErrorCode.INPUT_TOO_LARGE,
            "the request is larger than any that Bark takes",
            expected=f"at most {REQUEST_BYTES_MAX} bytes",
            found=f"{len(request.data)} bytes",
        )
    form = _form_of(request)
    if form == TEXT_TYPE:
        return _from_text(_decode_text(request.data), {}, "")
    if form == safetensors_codec.CONTENT_TYPE:
        question = safetensors_codec.decode(request.data)
        return _from_tensors(question, _metadata_parameters(request.data), form)
    body = _parse(request.data)
    if "inputs" not in body and "outputs" in body:  # An answer of the stage before.
        body = {**body, "inputs": body["outputs"]}
        del body["outputs"]
    if "inputs" in body:
        parameters = body.get("parameters", {})
        question = open_inference.decode(json.dumps(body).encode())
        return _from_tensors(question, parameters, form)
    parameters = {k: v for k, v in body.items() if k not in ("text", "id")}
    if not isinstance(body.get("text"), str):
        raise invalid_input(
            "the request has no text",
            field="text",
            expected='{"text": "..."}, or {"inputs": [...]} with tokens',
            found="nothing" if "text" not in body else "another type",
        )
    return _from_text(body["text"], parameters, str(body.get("id", ""))[:256])


def answers_sound(request: Request, question: SpeechQuestion, has_codec: bool) -> bool:
    """Whether the answer shall be sound; refuses what cannot be given."""
    default = has_codec and not question.outputs
    for wanted in _accepted(request):
        if wanted in _SOUND_TYPES and has_codec:
            return True
        if wanted in _TOKEN_TYPES:
            return False
        if wanted in ("*/*", "application/*"):
            return default and wanted == "*/*"
    if not request.accept.strip():
        return default
    raise invalid_input(
        "no answer of an accepted type can be given",
        field="accept",
        expected=", ".join([codec.CONTENT_TYPE] * has_codec + [*_TOKEN_TYPES]),
        found=request.accept[:80],
    )


def encode_tokens(
    outputs: Tensors,
    request: Request,
    question: SpeechQuestion,
    model: tuple[str, str],
) -> Response:
    """An answer of tokens in the form that is wanted, with the parameters.

    Args:
        outputs: int64, by name.
        model: its name and version.
    """
    forms = [wanted for wanted in _accepted(request) if wanted in _TOKEN_TYPES]
    form = forms[0] if forms else question.form
    asked = Question({}, question.identifier)
    response = payload.encode(outputs, request, asked, form, model, ())
    if not question.parameters:
        return response
    if form == open_inference.CONTENT_TYPE:
        answer = {**json.loads(response.data), "parameters": question.parameters}
        text = json.dumps(answer, separators=(",", ":"))
        return Response(text.encode(), form)
    header, tensors = _split_safetensors(response.data)
    header["__metadata__"]["parameters"] = json.dumps(question.parameters)
    text = json.dumps(header, separators=(",", ":"))
    text += " " * (-len(text) % 8)  # Tensors stay aligned.
    return Response(len(text).to_bytes(8, "little") + text.encode() + tensors, form)


def check_tokens(name: str, array: Array) -> Array:
    """A tensor of tokens as int64, each within its vocabulary."""
    wanted, vocabulary = TOKENS[name]
    field = f"inputs.{name}"
    if array.dtype.kind not in "iu":
        raise _wrong_tokens(name, f"{field}.datatype", "INT64", str(array.dtype))
    fits = array.ndim == len(wanted) and 0 < array.size <= TOKENS_MAX
    if not fits or array.shape[:-1] != wanted[:-1]:
        expected = f"{shape_text(wanted)}, from 1 to {TOKENS_MAX} tokens"
        found = shape_text(array.shape)
        raise _wrong_tokens(name, f"{field}.shape", expected, found)
    outside = (array < 0) | (array >= vocabulary)
    if outside.any():
        expected = f"whole numbers from 0 to {vocabulary - 1}"
        found = f"another one at position {int(outside.reshape(-1).argmax())}"
        raise _wrong_tokens(name, f"{field}.data", expected, found)
    return array.astype("int64")


def _form_of(request: Request) -> str:
    """The declared type, or what the first bytes look like."""
    if request.content_type in (TEXT_TYPE, *_TOKEN_TYPES):
        return request.content_type
    if request.content_type not in _UNKNOWN_TYPES:
        raise invalid_input(
            "the content type cannot be used",
            field="content_type",
            expected=", ".join((TEXT_TYPE, *_TOKEN_TYPES)),
            found=request.content_type[:80],
        )
    if request.data[8:9] == b"{" and b"\0" in request.data[:8]:
        return safetensors_codec.CONTENT_TYPE
    is_json = request.data.lstrip()[:1] == b"{"
    return open_inference.CONTENT_TYPE if is_json else TEXT_TYPE


def _accepted(request: Request) -> Sequence[str]:
    """The media types that the caller takes, in its order."""
    parts = request.accept.lower().split(",")
    return [part.split(";", 1)[0].strip() for part in parts]


def _from_text(
    text: str, parameters: Mapping[str, Any], identifier: str
) -> SpeechQuestion:
    """Spaces are as one; a text of nothing else is none."""
    text = " ".join(text.split())
    if not 1 <= len(text) <= TEXT_CHARS_MAX:
        raise invalid_input(
            "the text is empty" if not text else "the text is too long",
            field="text",
            expected=f"1 to {TEXT_CHARS_MAX} characters",
            found=f"{len(text)} characters",
        )
    options = parse_options(parameters)
    form = open_inference.CONTENT_TYPE
    return SpeechQuestion("text", text, None, options, parameters, identifier, (), form)


def _from_tensors(question: Question, parameters: Any, form: str) -> SpeechQuestion:
    """One tensor of TOKENS, or a text as a tensor."""
    if not isinstance(parameters, dict):
        raise invalid_input(
            "the parameters are not an object",
            field="parameters",
            expected="an object",
            found="another type",
        )
    name, array = next(iter(question.tensors.items()), ("", None))
    if len(question.tensors) != 1 or name not in ("text", *TOKENS) or array is None:
        raise invalid_input(
            "the request does not hold the tokens of one stage",
            field="inputs",
            expected="one of text, " + ", ".join(TOKENS),
            found=", ".join(n[:40] for n in [*question.tensors][:8]) or "nothing",
        )
    if name == "text":
        if array.size != 1 or array.dtype.kind != "O":
            found = f"{array.dtype}, {shape_text(array.shape)}"
            raise _wrong_tokens("text", "inputs.text", "BYTES, [1]", found)
        asked = _from_text(array.item(), parameters, question.identifier)
        return dataclasses.replace(asked, outputs=question.outputs)
    tokens = check_tokens(name, array)
    options = parse_options(parameters)
    return SpeechQuestion(
        name,
        "",
        tokens,
        options,
        parameters,
        question.identifier,
        question.outputs,
        form,
    )


def _decode_text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise invalid_input(
            "the text is not UTF-8",
            field="text",
            expected="UTF-8",
            found=f"byte {error.start}",
        ) from error


def _parse(data: bytes) -> dict[str, Any]:
    """A JSON object."""
    try:
        body = json.loads(_decode_text(data))
    except (ValueError, RecursionError) as error:
        raise invalid_input(
            "the request is not JSON", expected="JSON", found=first_line(error)[:80]
        ) from error
    if not isinstance(body, dict):
        raise invalid_input(
            "the request is not an object",
            expected='{"text": "..."}',
            found="another type",
        )
    return body


def _metadata_parameters(data: bytes) -> Any:
    """The parameters of a safetensors file that was read without error."""
    metadata = _split_safetensors(data)[0].get("__metadata__", {})
    return _parse(metadata.get("parameters", "{}").encode())


def _split_safetensors(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of a whole file, and what follows it."""
    end = 8 + int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8:end])
    return header, data[end:]


def _wrong_tokens(name: str, field: str, expected: str, found: str) -> ExecutorError:
    return invalid_input(
        f"the input '{name}' cannot be used",
        field=field,
        expected=expected,
        found=found,
    )
