"""Folders of the transformers library, which the image does not have."""

import json
import sys
import types
from pathlib import Path
from typing import Any

import model_files as files
import pytest
import safetensors.torch
import torch
from conftest import Run, question, tensor

REQUEST = question(tensor([1.0, 2.0], [1, 2], name="values"))


class Doubling(torch.nn.Module):  # type: ignore[misc]
    """What the library's classes look like from outside."""

    @classmethod
    def from_pretrained(cls, folder: str, **options: Any) -> "Doubling":
        assert options == {"local_files_only": True, "trust_remote_code": False}
        if not (Path(folder) / "model.safetensors").exists():
            raise OSError("no weights")
        return cls()

    def forward(self, values: torch.Tensor, mask: Any = None) -> dict[str, Any]:
        return {"doubled": values * 2, "states": (values, values + 1), "loss": None}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = files.folder(tmp_path, "folder")
    config = {"model_type": "doubling", "architectures": ["Doubling"]}
    (folder / "config.json").write_text(json.dumps(config))
    weights = {"w": torch.ones(1)}
    safetensors.torch.save_file(weights, str(folder / "model.safetensors"))
    return folder


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("transformers")
    module.__version__ = "0"  # type: ignore[attr-defined]
    module.Doubling = Doubling  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", module)


def test_without_the_library_its_name_is_told(run: Run, model: Path) -> None:
    answer = run(model, REQUEST)
    assert (answer.code, answer.error["field"]) == (
        "MISSING_DEPENDENCY",
        "transformers",
    )


@pytest.mark.usefixtures("library")
def test_the_class_of_the_folder_answers(run: Run, model: Path) -> None:
    answer = run(model, REQUEST)
    found = {o["name"]: o["data"] for o in answer.json["outputs"]}
    assert found == {
        "doubled": [2.0, 4.0],
        "states[0]": [1.0, 2.0],
        "states[1]": [2.0, 3.0],
    }
    assert answer.report["versions"]["transformers"] == "0"


@pytest.mark.usefixtures("library")
def test_an_input_that_forward_does_not_know_is_named(run: Run, model: Path) -> None:
    answer = run(model, question(tensor([1.0], [1], name="pixels")))
    assert (answer.code, answer.error["field"]) == ("INVALID_INPUT", "inputs.pixels")
    assert answer.error["expected"] == "values, mask"


@pytest.mark.usefixtures("library")
def test_an_input_of_the_manifest_that_forward_does_not_know_is_named(
    run: Run, model: Path
) -> None:
    (model / "model.toml").write_text('[[inputs]]\nname = "pixels"\n')
    answer = run(model, REQUEST)
    assert (answer.code, answer.error["field"]) == ("INVALID_MODEL", "inputs.pixels")
    assert answer.error["found"] == "values, mask"
    (model / "model.toml").write_text('[[inputs]]\nname = "values"\n')
    assert run(model, REQUEST).status == 0


@pytest.mark.usefixtures("library")
def test_a_class_that_the_library_lacks_is_unsupported(run: Run, model: Path) -> None:
    config = {"model_type": "doubling", "architectures": ["Tripling"]}
    (model / "config.json").write_text(json.dumps(config))
    assert run(model, REQUEST).code == "UNSUPPORTED_MODEL"


def test_a_config_of_something_else_is_not_looked_at(run: Run, model: Path) -> None:
    for text in ('{"a": 1}', "[]", "{"):
        (model / "config.json").write_text(text)
        assert run(model, REQUEST).error["field"] == "architecture.name"
