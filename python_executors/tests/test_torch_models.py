"""Torch models of every format, through the file contract."""

import json
from pathlib import Path
from typing import Any

import model_files as files
import numpy as np
import pytest
import safetensors.numpy
import torch
from conftest import Run, question, tensor

JSON, SAFE = "application/json", "application/x-safetensors"
X = [[0.5, -1.0], [2.0, 3.0]]
REQUEST = question(tensor(X, [2, 2]), id="r-1")


def expected() -> list[float]:
    """What the network itself says."""
    with torch.no_grad():
        flat: list[float] = files.network()(torch.tensor(X)).reshape(-1).tolist()
    return flat


@pytest.fixture(params=["torchscript", "checkpoint", "safetensors"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same network in each of torch's formats, with a manifest."""
    state = files.network().state_dict()
    if request.param == "torchscript":
        return files.torchscript(tmp_path, files.network(), files.TENSORS)
    manifest = files.ARCHITECTURE + files.TENSORS
    if request.param == "checkpoint":
        return files.checkpoint(tmp_path, {"state_dict": state}, manifest)
    return files.weights(tmp_path, state, manifest)


def test_every_torch_format_gives_the_same_answer(run: Run, model: Path) -> None:
    answer = run(model, REQUEST, NCN_THREADS="2")
    assert answer.status == 0, answer.report
    output = answer.json["outputs"][0]
    assert (output["name"], output["shape"]) == ("p", [2, 3])
    assert output["parameters"] == {"labels": ["a", "b", "c"]}
    assert answer.json["id"] == "r-1"
    assert np.allclose(answer.data, expected(), atol=1e-6)
    assert {"import", "load", "decode", "infer", "encode", "run"} <= set(
        answer.report["timings_ms"]
    )
    assert "torch" in answer.report["versions"]


def test_a_safetensors_question_gets_a_safetensors_answer(
    run: Run, model: Path
) -> None:
    data = safetensors.numpy.save({"x": np.array(X, np.float32)}, {"id": "r-2"})
    answer = run(model, data, NCN_CONTENT_TYPE=SAFE)
    assert answer.output is not None
    found = safetensors.numpy.load(answer.output)["p"]
    assert np.allclose(found.reshape(-1), expected(), atol=1e-6)
    assert run(model, data, NCN_ACCEPT=JSON).json["id"] == "r-2"
    assert run(model, REQUEST, NCN_ACCEPT=SAFE).report["content_type"] == SAFE


@pytest.mark.parametrize(
    ("tensors", "field"),
    [
        ([tensor(X, [2, 2], name="y")], "inputs.y"),
        ([tensor(X, [2, 2]), tensor(X, [2, 2], name="z")], "inputs.z"),
        ([tensor(X, [2, 2], "FP64")], "inputs.x.datatype"),
        ([tensor([1, 2, 3], [1, 3])], "inputs.x.shape"),
        ([tensor([], [0, 2])], "inputs.x.shape"),
        ([tensor([float("nan"), 1], [1, 2])], "inputs.x.data"),
        ([tensor([1, 2], [1, 2], "BYTES")], "inputs[0].data"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(
    run: Run, tmp_path: Path, tensors: list[Any], field: str
) -> None:
    path = files.torchscript(tmp_path, files.network(), files.TENSORS)
    answer = run(path, question(*tensors))
    assert (answer.status, answer.code) == (1, "INVALID_INPUT")
    assert answer.error["field"] == field
    assert answer.error["expected"]
    assert answer.error["found"]


class Many(torch.nn.Module):  # type: ignore[misc]
    """Two inputs by position, three outputs by name."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"sum": a + b, "less": a < b, "half": (a - b).to(torch.bfloat16)}


def test_torchscript_without_a_manifest_takes_inputs_by_position(
    run: Run, tmp_path: Path
) -> None:
    path = files.torchscript(tmp_path, Many())
    first, second = tensor([5], [1], name="u"), tensor([2], [1], name="v")
    outputs = run(path, question(first, second)).json["outputs"]
    assert [(o["name"], o["datatype"], o["data"]) for o in outputs] == [
        ("sum", "FP32", [7.0]),
        ("less", "BOOL", [False]),
        ("half", "BF16", [3.0]),
    ]


class Tuple(torch.nn.Module):  # type: ignore[misc]
    """Outputs by position."""

    def forward(self, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return a + 1, torch.log(a)


def test_outputs_by_position_are_numbered(run: Run, tmp_path: Path) -> None:
    path = files.torchscript(tmp_path, Tuple())
    outputs = run(path, question(tensor([1.0], [1]))).json["outputs"]
    assert [o["name"] for o in outputs] == ["output_0", "output_1"]


def test_nan_in_the_answer_proposes_safetensors(run: Run, tmp_path: Path) -> None:
    path = files.torchscript(tmp_path, Tuple())
    asked = question(tensor([-1.0], [1]))
    answer = run(path, asked)
    assert (answer.code, answer.error["found"]) == ("INVALID_INPUT", "NaN")
    assert SAFE in answer.error["message"]
    assert run(path, asked, NCN_ACCEPT=SAFE).status == 0
    assert run(path, {**asked, "outputs": [{"name": "output_0"}]}).data == [0.0]


def test_a_manifest_with_other_outputs_is_the_models_fault(
    run: Run, tmp_path: Path
) -> None:
    path = files.torchscript(tmp_path, Tuple(), '[[outputs]]\nname = "one"')
    answer = run(path, question(tensor([1.0], [1])))
    assert (answer.code, answer.error["found"]) == ("INVALID_MODEL", "2 tensors")


class Complex(torch.nn.Module):  # type: ignore[misc]
    """A tensor that the protocol has no name for."""

    def forward(self, a: torch.Tensor) -> torch.Tensor:
        return torch.complex(a, a)


def test_an_output_that_is_no_plain_tensor_is_unsupported(
    run: Run, tmp_path: Path
) -> None:
    path = files.torchscript(tmp_path, Complex())
    assert run(path, question(tensor([1.0], [1]))).code == "UNSUPPORTED_MODEL"


def test_who_is_at_fault_depends_on_what_was_declared(run: Run, tmp_path: Path) -> None:
    wrong = question(tensor([1, 2, 3], [1, 3]))
    path = files.torchscript(tmp_path, files.network())
    answer = run(path, wrong)
    assert answer.code == "INVALID_INPUT"
    assert "mat1 and mat2" in answer.error["message"]
    declared = '[[inputs]]\nname = "x"\ndatatype = "FP32"\nshape = [1, 3]'
    (path.parent / "model.toml").write_text(declared)
    assert run(path, wrong).code == "INVALID_MODEL"


def test_torch_takes_no_texts(run: Run, tmp_path: Path) -> None:
    path = files.torchscript(tmp_path, files.network())
    answer = run(path, question(tensor(["a"], [1], "BYTES")))
    assert answer.error["field"] == "inputs.x.datatype"


class Random(torch.nn.Module):  # type: ignore[misc]
    """Noise."""

    def forward(self, a: torch.Tensor) -> torch.Tensor:
        return torch.rand_like(a)


def test_the_seed_of_the_request_decides_random_numbers(
    run: Run, tmp_path: Path
) -> None:
    path = files.torchscript(tmp_path, Random())
    asked = question(tensor([1.0], [1]))
    values = [run(path, asked, NCN_SEED=seed).data for seed in ("3", "3", "4")]
    assert values[0] == values[1] != values[2]
    assert run(path, asked).data != run(path, asked).data


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: s.pop("fc1.bias"), "other names"),
        (lambda s: s.update(extra=torch.ones(1)), "other names"),
        (lambda s: s.update({"fc1.bias": torch.ones(9)}), "fc1.bias"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    run: Run, tmp_path: Path, change: Any, text: str
) -> None:
    state = dict(files.network().state_dict())
    change(state)
    answer = run(files.weights(tmp_path, state), REQUEST)
    assert (answer.code, answer.error["field"]) == ("INVALID_MODEL", "weights")
    assert text in answer.error["message"]


def test_weights_that_are_not_numbers_are_named(run: Run, tmp_path: Path) -> None:
    state = dict(files.network().state_dict())
    state["fc1.bias"] = torch.full((4,), float("nan"))
    answer = run(files.weights(tmp_path, state), REQUEST)
    assert (answer.code, answer.error["field"]) == (
        "INVALID_MODEL",
        "weights.fc1.bias",
    )
    assert answer.error["found"] == "4 NaN of 4"
    module = files.network()
    module.load_state_dict(state)
    assert run(files.torchscript(tmp_path, module), REQUEST).code == "INVALID_MODEL"


def test_opposite_infinities_among_weights_are_no_nan(run: Run, tmp_path: Path) -> None:
    state = dict(files.network().state_dict())
    state["fc1.bias"] = torch.tensor([float("inf"), float("-inf"), 0, 0])
    path = files.weights(tmp_path, state)
    assert run(path, REQUEST, NCN_ACCEPT=SAFE).status == 0


def test_weights_of_another_precision_are_converted(run: Run, tmp_path: Path) -> None:
    state = {k: v.double() for k, v in files.network().state_dict().items()}
    answer = run(files.weights(tmp_path, state), REQUEST)
    assert np.allclose(answer.data, expected(), atol=1e-6)


def test_a_checkpoint_that_is_no_dictionary_is_invalid(
    run: Run, tmp_path: Path
) -> None:
    answer = run(files.checkpoint(tmp_path, [torch.ones(1)]), REQUEST)
    assert answer.code == "INVALID_MODEL"


class Evil:
    """Would run a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.system, ("touch /tmp/unpickled",)


def test_a_checkpoint_never_runs_code(run: Run, tmp_path: Path) -> None:
    answer = run(files.checkpoint(tmp_path, {"fc1.bias": Evil()}), REQUEST)
    assert answer.code == "INVALID_MODEL"
    assert "more than weights" in answer.error["message"]
    assert not Path("/tmp/unpickled").exists()


def test_a_damaged_archive_is_an_invalid_model(run: Run, tmp_path: Path) -> None:
    path = files.torchscript(tmp_path, files.network())
    data = bytearray(path.read_bytes())
    at = data.index(b"constants.pkl") + 60
    data[at : at + 400] = b"\xff" * 400
    path.write_bytes(bytes(data))
    answer = run(path, REQUEST)
    assert answer.code == "INVALID_MODEL", answer.error


def test_an_unreadable_model_is_access_denied(run: Run, tmp_path: Path) -> None:
    path = files.torchscript(tmp_path, files.network())
    path.chmod(0)
    try:
        path.open("rb").close()
    except PermissionError:
        answer = run(path, REQUEST)
        assert (answer.code, answer.error["path"]) == ("ACCESS_DENIED", str(path))
    else:
        pytest.skip("this user may read every file")


def test_a_loaded_model_answers_many_requests(model: Path) -> None:
    from ncn_executor import Context, Request

    from generic_model_executor import GenericModelExecutor

    executor = GenericModelExecutor()
    executor.load(model, Context())
    request = Request(json.dumps(REQUEST).encode())
    assert executor.run(request).data == executor.run(request).data
