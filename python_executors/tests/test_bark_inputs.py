"""What Bark refuses, and how it says so: requests, parameters, voices."""

import base64
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import bark_models as models
import numpy as np
import pytest
import safetensors.numpy
from conftest import Answer, Run, question, tensor
from ncn_executor.bark.presets import parse_preset
from ncn_executor.contract import Context, Executor, Request
from ncn_executor.errors import ErrorCode, ExecutorError

from bark_model_executor import BarkModelExecutor
from coarse_model_executor import CoarseModelExecutor
from fine_model_executor import FineModelExecutor
from semantic_model_executor import SemanticModelExecutor

SAFETENSORS = "application/x-safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.bark_folder(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def bark(folder: Path) -> Executor:
    executor = BarkModelExecutor()
    executor.load(folder, Context())
    return executor


def refused(executor: Executor, data: Any, **more: Any) -> ExecutorError:
    encoded = data if isinstance(data, bytes) else json.dumps(data).encode()
    with pytest.raises(ExecutorError) as caught:
        executor.run(Request(encoded, **more))
    return caught.value


def found_in(answer: Answer) -> tuple[str, str]:
    return answer.code, answer.error["field"]


def tokens(name: str, *shape: int, value: int = 1) -> dict[str, Any]:
    data = np.full(shape, value).reshape(-1).tolist()
    return question(tensor(data, list(shape), "INT64", name))


@pytest.mark.parametrize(
    ("data", "field", "expected"),
    [
        (b"   ", "text", "1 to"),
        ({"text": " \n"}, "text", "1 to"),
        ({"text": 7}, "text", "text"),
        ({"voice": "low"}, "text", "text"),
        ({"text": "a " * 257}, "text", "1 to 256 tokens"),
        ({"text": "x" * 20_000}, "text", "16384 characters"),
        ({"text": "\u200b"}, "text", "1 to 256 tokens"),
        (b"\xff\xfe", "text", "UTF-8"),
        (b'{"text": ', "", "JSON"),
        (b"{" * 100_000, "", "JSON"),
        (question(), "inputs", "one of text"),
        (tokens("text_tokens", 257), "inputs.text_tokens.shape", "256"),
        (tokens("text_tokens", 2, value=119_547), "inputs.text_tokens.data", "119546"),
        (
            tokens("semantic_tokens", 3, value=10_000),
            "inputs.semantic_tokens.data",
            "9999",
        ),
        (
            tokens("semantic_tokens", 3, value=-1),
            "inputs.semantic_tokens.data",
            "from 0",
        ),
        (tokens("semantic_tokens", 0), "inputs.semantic_tokens.shape", "1 to"),
        (tokens("semantic_tokens", 1, 3), "inputs.semantic_tokens.shape", "[any]"),
        (tokens("coarse_tokens", 3, 4), "inputs.coarse_tokens.shape", "[2, any]"),
        (
            tokens("coarse_tokens", 2, 2, value=1024),
            "inputs.coarse_tokens.data",
            "1023",
        ),
        (tokens("fine_tokens", 2, 4), "inputs.fine_tokens.shape", "[8, any]"),
        (tokens("words", 4), "inputs", "semantic_tokens"),
        (
            question(tensor([1.0], [1], name="semantic_tokens")),
            "inputs.semantic_tokens.datatype",
            "INT64",
        ),
        (question(tensor(["a", "b"], [2], "BYTES", "text")), "inputs.text", "BYTES"),
        ({**tokens("semantic_tokens", 3), "parameters": [1]}, "parameters", "object"),
        (
            {**tokens("fine_tokens", 8, 3), "outputs": [{"name": "fine_tokens"}]},
            "outputs",
            "sound",
        ),
        (
            {**tokens("coarse_tokens", 2, 3), "outputs": [{"name": "coarse_tokens"}]},
            "outputs",
            "fine_tokens",
        ),
    ],
)
def test_a_request_that_cannot_be_used_is_refused_by_field(
    bark: Executor, data: Any, field: str, expected: str
) -> None:
    error = refused(bark, data)
    assert (error.code, error.field) == (ErrorCode.INVALID_INPUT, field)
    assert expected in error.expected
    assert error.found


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("seed", [-1, 2**64, 1.5, True, "1"]),
        ("temperature", [-0.1, 101, "hot", True, float("nan"), float("inf")]),
        ("fine_temperature", [-1]),
        ("top_k", [0, 1.5]),
        ("top_p", [0, 1.1]),
        ("min_eos_p", [0, 2]),
        ("max_seconds", [0, 1e9]),
        ("voice", [3, "", "../low", "none", "/etc/passwd", "a/b/c"]),
        ("history", [3, "?", "x" * 9_000_000]),
        ("loudness", [1]),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(
    bark: Executor, key: str, values: list[Any]
) -> None:
    for value in values:
        error = refused(bark, {"text": "hello", key: value})
        assert error.code is ErrorCode.INVALID_INPUT
        assert error.field in (key, f"parameters.{key}")
        assert error.expected


def test_a_voice_and_a_history_exclude_each_other(bark: Executor) -> None:
    error = refused(bark, {"text": "hello", "voice": "low", "history": "AAAA"})
    assert error.found == "both"


def test_an_unknown_voice_names_the_known(bark: Executor, folder: Path) -> None:
    assert refused(bark, {"text": "a", "voice": "high"}).expected == "low"
    (folder / "voices" / "v2").mkdir(exist_ok=True)
    (folder / "voices" / "v2" / "x.npz").write_bytes(models.preset_bytes())
    assert refused(bark, {"text": "a", "voice": "high"}).expected == "low, v2/x"


def pickled() -> bytes:
    """An .npz whose array would have to be unpickled."""
    return models.preset_bytes(coarse_prompt=np.array([{"a": 1}], dtype=object))


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in members.items():
            zipped.writestr(f"{name}.npy", data)
    return file.getvalue()


def huge() -> bytes:
    """A header that promises more than any machine has."""
    head = b"{'descr': '<i8', 'fortran_order': False, 'shape': (4611686018427387,)}"
    npy = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head
    return archive(semantic_prompt=npy, coarse_prompt=npy, fine_prompt=npy)


@pytest.mark.parametrize(
    ("data", "field", "found"),
    [
        (pickled(), "history", "a pickle"),
        (pickle.dumps([1]), "history", "another file"),
        (models.preset_bytes()[:-40], "history", "another file"),
        (archive(semantic_prompt=bytes(1 << 25)), "history", "more"),
        (
            archive(semantic_prompt=b"x", coarse_prompt=b"x", fine_prompt=b"x"),
            "history.semantic_prompt",
            "|S1",
        ),
        (huge(), "history", "another file"),
        (
            models.preset_bytes(fine_prompt=None),
            "history",
            "semantic_prompt, coarse_prompt",
        ),
        (
            models.preset_bytes(semantic_prompt=np.zeros((2, 3), int)),
            "history.semantic_prompt",
            "[2, 3]",
        ),
        (
            models.preset_bytes(semantic_prompt=np.zeros(0, int)),
            "history.semantic_prompt",
            "[0]",
        ),
        (
            models.preset_bytes(semantic_prompt=np.array([10_000])),
            "history.semantic_prompt",
            "outside",
        ),
        (
            models.preset_bytes(coarse_prompt=np.zeros((3, 451), int)),
            "history.coarse_prompt",
            "[3, 451]",
        ),
        (
            models.preset_bytes(coarse_prompt=np.zeros((2, 9), int)),
            "history.coarse_prompt",
            "0.0",
        ),
        (
            models.preset_bytes(fine_prompt=np.full((8, 2), -1)),
            "history.fine_prompt",
            "outside",
        ),
        (
            models.preset_bytes(fine_prompt=np.zeros((8, 2))),
            "history.fine_prompt",
            "float64",
        ),
    ],
)
def test_a_voice_that_cannot_be_used_is_refused(
    bark: Executor, data: bytes, field: str, found: str
) -> None:
    history = base64.b64encode(data).decode()
    error = refused(bark, {"text": "hello", "history": history})
    assert (error.code, error.field) == (ErrorCode.INVALID_INPUT, field)
    assert found in error.found


def test_a_damaged_voice_never_ends_otherwise() -> None:
    data = models.preset_bytes()
    random = np.random.default_rng(1)
    for _ in range(300):
        changed = bytearray(data)
        for position in random.integers(0, len(data), 4):
            changed[position] = int(random.integers(0, 256))
        try:
            parse_preset(bytes(changed), "voice")
        except ExecutorError as error:
            assert error.code is ErrorCode.INVALID_INPUT


def test_what_cannot_be_answered_is_refused(bark: Executor, folder: Path) -> None:
    hello = {"text": "hello"}
    error = refused(bark, hello, accept="image/png")
    assert error.field == "accept"
    assert "audio/wav" in error.expected
    error = refused(bark, hello, content_type="image/png")
    assert error.field == "content_type"
    assert "text/plain" in error.expected
    semantic = SemanticModelExecutor()
    semantic.load(folder / "semantic.pt", Context())
    error = refused(semantic, hello, accept="audio/wav")
    assert "audio" not in error.expected
    codes = tokens("coarse_tokens", 2, 3)
    assert refused(semantic, codes).expected == "text, text_tokens"
    silent = {"text": "hello", "min_eos_p": 1e-9, "seed": 1}
    assert refused(semantic, silent).found == "none"


def test_a_request_has_a_limit(bark: Executor) -> None:
    error = refused(bark, b" " * (65 << 20))
    assert error.code is ErrorCode.INPUT_TOO_LARGE


def test_a_vocabulary_of_another_model_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = SemanticModelExecutor()
    executor.load(folder / "semantic.pt", Context())
    monkeypatch.setattr(executor._pipeline, "_tokenize", lambda text: [119_547])
    error = refused(executor, {"text": "hello"})
    assert (error.code, error.field) == (ErrorCode.INVALID_MODEL, "vocabulary")


def test_accepting_anything_gives_the_form_of_the_question(
    run: Run, folder: Path
) -> None:
    body = tokens("semantic_tokens", 4)
    for accept in ("application/*", "application/json;q=1, audio/wav"):
        answer = run(folder, body, BarkModelExecutor, NCN_ACCEPT=accept)
        assert answer.report["content_type"] == "application/json"
    answer = run(folder, body, BarkModelExecutor, NCN_ACCEPT="*/*")
    assert answer.report["content_type"] == "audio/wav"


def test_safetensors_with_wrong_parameters_are_refused(bark: Executor) -> None:
    array = {"semantic_tokens": np.arange(4)}
    for parameters, found in (("[1]", "another type"), ("{", "Expecting")):
        data = safetensors.numpy.save(array, {"parameters": parameters})
        assert found in refused(bark, data, content_type=SAFETENSORS).found


def test_a_text_needs_a_vocabulary_and_tokens_do_not(run: Run, tmp_path: Path) -> None:
    path = models.save_stage(tmp_path / "bark_semantic_model.pt", "semantic")
    answer = run(path, b"hello", SemanticModelExecutor)
    assert found_in(answer) == ("INVALID_MODEL", "vocabulary")
    assert "vocab.txt" in answer.error["expected"]
    parameters = {"max_seconds": 0.1, "min_eos_p": None}
    body = {**tokens("text_tokens", 3), "parameters": parameters}
    assert run(path, body, SemanticModelExecutor).json["model_name"] == "bark_semantic"


def test_stages_that_are_alone_take_what_is_theirs(run: Run, tmp_path: Path) -> None:
    coarse = models.save_stage(tmp_path / "bark_coarse_model.pt", "coarse")
    answer = run(coarse, b"hello", CoarseModelExecutor)
    assert found_in(answer) == ("INVALID_INPUT", "inputs")
    assert answer.error["expected"] == "semantic_tokens"
    fine = models.save_stage(tmp_path / "bark_fine_model.pt", "fine")
    answer = run(fine, tokens("coarse_tokens", 2, 5), FineModelExecutor)
    assert answer.json["outputs"][0]["shape"] == [8, 5]
    answer = run(fine, tokens("fine_tokens", 8, 5), FineModelExecutor)
    assert found_in(answer) == ("INVALID_INPUT", "inputs")
