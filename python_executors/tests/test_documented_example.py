"""The worked example of docs/executors.md, exactly as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from children import Child
from ncn_executor import contract
from ncn_executor.manifest import parse_manifest
from test_ready_child import child as child  # noqa: F401

PAGE = Path(__file__).resolve().parents[2] / "docs" / "executors.md"


def block(language: str) -> str:
    """The first block of code in a language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def shout(tmp_path: Path) -> Path:
    folder = tmp_path / "shout"
    folder.mkdir()
    (folder / "model.toml").write_text(block("toml"))
    (folder / "shout.py").write_text(block("python"))
    (folder / "sample.txt").write_text("hello")
    words = {"times": np.array([3])}
    safetensors.numpy.save_file(words, str(folder / "words.safetensors"))
    return folder


def test_the_example_does_what_the_page_says(
    child: Child,  # noqa: F811
    shout: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifest = parse_manifest((shout / "model.toml").read_text())
    assert manifest.script == "shout.py"
    monkeypatch.setattr(contract, "PROGRESS_SECONDS", 0)
    assert child.load(shout / manifest.file, shout / "shout.py")["status"] == "ready"
    header, body = child.run(b"hello")
    told = []
    while header["status"] == "progress":
        told.append((round(header["fraction"], 2), body))
        header, body = child.answer()
    assert (header["content_type"], body) == ("text/plain", b"HELLO!HELLO!HELLO!")
    assert told == [
        (0.33, b"HELLO!"),
        (0.67, b"HELLO!HELLO!"),
        (1.0, b"HELLO!HELLO!HELLO!"),
    ]
    assert child.run("ä".encode())[0]["error"]["code"] == "INVALID_INPUT"


def test_the_example_has_twenty_lines() -> None:
    assert len([line for line in block("python").splitlines() if line.strip()]) <= 20
