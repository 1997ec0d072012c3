"""A manifest that contradicts its model is refused when the model is loaded."""

from pathlib import Path
from typing import Any

import bark_models
import model_files as files
import pytest
from conftest import Run, question, tensor
from test_architectures import CNN, GPT, build, toml

from bark_model_executor import BarkModelExecutor
from coarse_model_executor import CoarseModelExecutor

MLP: dict[str, Any] = {"sizes": [2, 4, 3]}
PARAMETERS = {"mlp": MLP, "cnn": CNN, "gpt": GPT, "encoder": GPT}


def tensors(kind: str, *specs: tuple[str, str, list[int]]) -> str:
    """Tables of a manifest: name, datatype and shape each."""
    return "".join(
        f'[[{kind}]]\nname = "{name}"\nshape = {shape}\n'
        + (f'datatype = "{datatype}"\n' if datatype else "")
        for name, datatype, shape in specs
    )


def weights(parent: Path, name: str, manifest: str) -> Path:
    network = build(name, **PARAMETERS[name])
    text = toml(name, **PARAMETERS[name]) + manifest
    return files.weights(parent, network.state_dict(), text)


X2: tuple[str, str, list[int]] = ("x", "FP32", [-1, 2])
IDS: tuple[str, str, list[int]] = ("input_ids", "INT64", [-1, -1])
MASK: tuple[str, str, list[int]] = ("attention_mask", "INT64", [-1, -1])


@pytest.mark.parametrize(
    ("name", "kind", "specs", "field", "found"),
    [
        ("mlp", "inputs", [X2, ("y", "FP32", [-1, 2])], "inputs", "x"),
        ("mlp", "inputs", [("x", "INT64", [-1, 2])], "inputs.x.datatype", "FP32"),
        ("mlp", "inputs", [("x", "FP32", [-1, 3])], "inputs.x.shape", "[any, 2]"),
        ("mlp", "outputs", [("p", "FP32", [-1, 4])], "outputs.p.shape", "[any, 3]"),
        ("mlp", "outputs", [X2, ("p", "FP32", [-1])], "outputs", "output_0"),
        (
            *("cnn", "inputs", [("x", "FP32", [-1, 3, 8, 12])]),
            *("inputs.x.shape", "[any, 1, 8, 12]"),
        ),
        ("cnn", "outputs", [("p", "FP64", [-1, 5])], "outputs.p.datatype", "FP32"),
        (
            *("gpt", "inputs", [("tokens", "INT32", [-1, -1])]),
            *("inputs.tokens.datatype", "INT64"),
        ),
        (
            *("gpt", "outputs", [("logits", "FP32", [-1, -1, 12])]),
            *("outputs.logits.shape", "[any, any, 11]"),
        ),
        (
            *("encoder", "inputs", [MASK, IDS]),
            *("inputs", "input_ids, attention_mask, token_type_ids"),
        ),
        (
            *("encoder", "outputs", [("pooler_output", "FP32", [-1, 12])]),
            *("outputs", "last_hidden_state, pooler_output"),
        ),
    ],
)
def test_a_registered_network_is_held_to_its_manifest(
    run: Run,
    tmp_path: Path,
    name: str,
    kind: str,
    specs: Any,
    field: str,
    found: str,
) -> None:
    path = weights(tmp_path, name, tensors(kind, *specs))
    answer = run(path, question())  # Whatever is asked.
    assert answer.code == "INVALID_MODEL", answer.report
    assert (answer.error["field"], answer.error["found"]) == (field, found)


@pytest.mark.parametrize(
    ("name", "manifest"),
    [
        ("mlp", tensors("inputs", ("mine", "", [-1, -1]))),
        ("mlp", tensors("inputs", X2) + tensors("outputs", ("p", "", [1, 3]))),
        ("cnn", tensors("inputs", ("image", "FP32", [-1, 1, -1, -1]))),
        ("gpt", tensors("inputs", ("words", "INT64", [1, -1]))),
        ("encoder", tensors("inputs", IDS, MASK)),
        ("encoder", tensors("outputs", ("a", "", [-1, -1, 12]), ("b", "", [1, 12]))),
    ],
)
def test_a_manifest_may_name_and_narrow_what_a_network_has(
    run: Run, tmp_path: Path, name: str, manifest: str
) -> None:
    path = weights(tmp_path, name, manifest)
    assert run(path, b"{}").code == "INVALID_INPUT"


def test_what_a_manifest_leaves_open_the_network_says(run: Run, tmp_path: Path) -> None:
    path = weights(tmp_path, "gpt", '[[inputs]]\nname = "words"\n')
    answer = run(path, question(tensor([11], [1, 1], "INT64", "words")))
    assert (answer.code, answer.error["field"]) == (
        "INVALID_INPUT",
        "inputs.words.data",
    )


@pytest.mark.parametrize(
    ("kind", "spec", "field", "found"),
    [
        ("inputs", ("fine_tokens", "INT64", [8, -1]), "inputs.fine_tokens", "coarse"),
        ("inputs", ("words", "", [-1]), "inputs.words", "text, text_tokens"),
        ("inputs", ("text", "INT64", [1]), "inputs.text.datatype", "BYTES"),
        (
            *("inputs", ("coarse_tokens", "FP32", [2, -1])),
            *("inputs.coarse_tokens.datatype", "INT64"),
        ),
        (
            *("outputs", ("fine_tokens", "INT64", [2, -1])),
            *("outputs.fine_tokens.shape", "[8, any]"),
        ),
        (
            *("outputs", ("semantic_tokens", "INT32", [-1])),
            *("outputs.semantic_tokens.datatype", "INT64"),
        ),
        ("outputs", ("waveform", "FP32", [-1]), "outputs.waveform", "fine_tokens"),
    ],
)
def test_bark_is_held_to_its_manifest(
    run: Run, tmp_path: Path, kind: str, spec: Any, field: str, found: str
) -> None:
    folder = bark_models.bark_folder(tmp_path, codec=False)
    with (folder / "model.toml").open("a") as manifest:
        manifest.write(tensors(kind, spec))
    answer = run(folder, {"text": "hello"}, BarkModelExecutor)
    assert answer.code == "INVALID_MODEL", answer.report
    assert answer.error["field"] == field
    assert found in answer.error["found"]


def test_a_stage_of_bark_may_have_a_manifest_that_agrees(
    run: Run, tmp_path: Path
) -> None:
    folder = files.folder(tmp_path, "coarse")
    bark_models.save_stage(folder / "coarse.pt", "coarse")
    (folder / "model.toml").write_text(
        tensors("inputs", ("semantic_tokens", "INT32", [-1]))
        + tensors("outputs", ("coarse_tokens", "INT64", [2, -1]))
    )
    body = question(tensor([1, 2, 3, 4], [4], "INT32", "semantic_tokens"))
    assert run(folder / "coarse.pt", body, CoarseModelExecutor).status == 0
