"""The main job: one network, three formats, strict sandbox, signed and verified."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Network, ncn

FORMATS = ("digits", "digits_onnx", "digits_safetensors")


@pytest.fixture(scope="module")
def digits() -> Path:
    """The models directory of the example, built on first use."""
    built = subprocess.run(
        [ROOT / "examples" / "digits" / "build"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ,
    )
    return Path(built.stdout.strip())


def test_three_formats_agree_and_every_result_is_verified(
    start_network: Callable[..., Network], digits: Path, tmp_path: Path
) -> None:
    network = start_network(digits)
    samples = sorted((digits.parent / "samples").glob("*.png"))[:2]
    assert samples
    for sample in samples:
        answers = []
        for model in FORMATS:
            output, saved = tmp_path / "output.json", tmp_path / "response.json"
            result = network.infer(model, sample, "--output", output, "--save", saved)
            assert result.returncode == 0, result.stderr + network.log()
            assert "verified" in result.stdout
            assert "strict" in result.stdout
            assert ncn("verify", saved).returncode == 0
            answers.append(json.loads(output.read_text())["outputs"][0]["data"])
        first = answers[0]
        assert len(first) == 10
        assert first.index(max(first)) == int(sample.name[0])
        for other in answers[1:]:
            assert max(abs(a - b) for a, b in zip(first, other)) <= 1e-4


def test_a_changed_result_is_not_verified(
    start_network: Callable[..., Network], digits: Path, tmp_path: Path
) -> None:
    network = start_network(digits)
    sample = next((digits.parent / "samples").glob("*.png"))
    saved = tmp_path / "response.json"
    assert network.infer("digits_onnx", sample, "--save", saved).returncode == 0
    response = json.loads(saved.read_text())
    response["timestamp"] += 1
    saved.write_text(json.dumps(response))
    result = ncn("verify", saved)
    assert result.returncode == 1
    assert "not verified" in result.stderr


def tensor(**changes: object) -> bytes:
    """An Open Inference request for one blank digit, with changes to its tensor."""
    image = {
        "name": "image",
        "shape": [1, 1, 28, 28],
        "datatype": "FP32",
        "data": [0.0] * 784,
    }
    return json.dumps({"inputs": [image | changes]}).encode()


BAD_INPUTS = {
    "malformed JSON": (b'{"inputs": [', "INVALID_INPUT"),
    "wrong dtype": (tensor(datatype="INT64", data=[0] * 784), "FP32"),
    "wrong shape": (tensor(shape=[1, 784]), "shape"),
    "wrong element count": (tensor(data=[0.0] * 10), "784"),
    "NaN": (tensor(data=[float("nan")] * 784), "INVALID_INPUT"),
    "wrong name": (tensor(name="picture"), "picture"),
    "empty": (b"", "empty"),
}


def test_bad_inputs_end_in_typed_errors_and_leave_the_node_serving(
    start_network: Callable[..., Network], digits: Path
) -> None:
    network = start_network(digits)
    for name, (data, expected) in BAD_INPUTS.items():
        result = network.infer("digits_onnx", data)
        assert result.returncode != 0, name
        assert expected in result.stderr, (name, result.stderr)
        assert result.stderr.startswith("Error: "), (name, result.stderr)
    assert network.infer("digits_onnx", tensor()).returncode == 0
