"""The networks for bare weights."""

from pathlib import Path
from typing import Any

import model_files as files
import numpy as np
import pytest
import torch
from bark_reference import attend, linear, norm
from conftest import Run, question, tensor
from ncn_executor.architectures import build_architecture
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.manifest import Manifest

CNN: dict[str, Any] = {"height": 8, "width": 12, "channels": [2, 3], "classes": 5}


def build(name: str, **parameters: Any) -> Any:
    return build_architecture(Manifest(architecture=name, parameters=parameters))


def refused(name: str, **parameters: Any) -> ExecutorError:
    with pytest.raises(ExecutorError) as caught:
        build(name, **parameters)
    return caught.value


def test_mlp_has_the_sizes_asked_for() -> None:
    network = build("mlp", sizes=[3, 5, 2], activation="tanh", softmax=True)
    found = network(torch.ones(4, 3))
    assert found.shape == (4, 2)
    assert torch.allclose(found.sum(1), torch.ones(4))
    names = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    assert list(network.state_dict()) == names


def test_cnn_has_the_stages_asked_for() -> None:
    network = build("cnn", **CNN, in_channels=3, hidden=[7], softmax=True)
    assert network(torch.ones(2, 3, 8, 12)).shape == (2, 5)
    state = network.state_dict()
    assert state["conv1.weight"].shape == (2, 3, 3, 3)
    assert state["fc1.weight"].shape == (7, 3 * 2 * 3)
    assert state["fc2.weight"].shape == (5, 7)


@pytest.mark.parametrize(
    ("name", "parameters", "field"),
    [
        ("mlp", {}, "architecture.sizes"),
        ("mlp", {"sizes": [3]}, "architecture.sizes"),
        ("mlp", {"sizes": [3, 0]}, "architecture.sizes"),
        ("mlp", {"sizes": [3, 2], "activation": "step"}, "architecture.activation"),
        ("mlp", {"sizes": [3, 2], "softmax": 1}, "architecture.softmax"),
        ("cnn", {**CNN, "classes": 2**40}, "architecture.classes"),
        ("cnn", {**CNN, "kernel": 2}, "architecture"),
        ("cnn", {**CNN, "height": 3}, "architecture"),
    ],
)
def test_wrong_parameters_are_named(
    name: str, parameters: dict[str, Any], field: str
) -> None:
    error = refused(name, **parameters)
    assert (error.code, error.field) == (ErrorCode.INVALID_MANIFEST, field)


def test_an_unknown_parameter_proposes_the_nearest() -> None:
    error = refused("mlp", sizes=[1, 2], soft_max=True)
    assert "did you mean 'softmax'?" in error.message


def test_an_unknown_architecture_lists_the_known() -> None:
    error = refused("transformer")
    assert error.code is ErrorCode.UNSUPPORTED_MODEL
    assert "mlp, cnn" in error.expected


def test_weights_without_an_architecture_say_what_to_do() -> None:
    error = refused("")
    assert error.code is ErrorCode.UNSUPPORTED_MODEL
    assert "model.toml" in error.message


GPT: dict[str, Any] = {"vocabulary": 11, "context": 8, "width": 12, "layers": 2}
GPT["heads"] = 3


def test_gpt_sees_what_came_before_and_nothing_else() -> None:
    torch.manual_seed(1)
    network = build("gpt", **GPT).eval()
    tokens = torch.tensor([[1, 2, 3, 4]])
    other = torch.tensor([[1, 2, 9, 9]])
    with torch.no_grad():
        first, second = network(tokens)["logits"], network(other)["logits"]
    assert first.shape == (1, 4, 11)
    assert torch.allclose(first[:, :2], second[:, :2], atol=1e-6)
    assert not torch.allclose(first[:, 2:], second[:, 2:], atol=1e-3)


def test_gpt_has_the_names_of_the_published_weights() -> None:
    names = set(build("gpt", **GPT).state_dict())
    assert "transformer.h.1.attn.c_attn.weight" in names
    assert "lm_head.weight" not in names
    untied = build("gpt", **GPT, tied=False, bias=False).state_dict()
    assert "lm_head.weight" in untied
    assert not any(name.endswith("bias") for name in untied)


def test_encoder_agrees_with_torchs_own() -> None:
    torch.manual_seed(2)
    network = build("encoder", **GPT, pooler=False).eval()
    own = torch.nn.TransformerEncoderLayer(
        12, 3, 48, activation="gelu", batch_first=True, layer_norm_eps=1e-12
    ).eval()
    layer = network.encoder["layer"][0]
    parts = layer.attention["self"]
    names = ("query", "key", "value")
    state = {
        "self_attn.in_proj_weight": torch.cat([parts[n].weight for n in names]),
        "self_attn.in_proj_bias": torch.cat([parts[n].bias for n in names]),
    }
    for theirs, ours in {
        "self_attn.out_proj": layer.attention["output"]["dense"],
        "norm1": layer.attention["output"]["LayerNorm"],
        "linear1": layer.intermediate["dense"],
        "linear2": layer.output["dense"],
        "norm2": layer.output["LayerNorm"],
    }.items():
        state[f"{theirs}.weight"], state[f"{theirs}.bias"] = ours.weight, ours.bias
    own.load_state_dict(state)
    x = torch.randn(2, 5, 12)
    with torch.no_grad():
        assert torch.allclose(layer(x, None), own(x), atol=1e-5)


def test_what_an_encoder_masks_does_not_count() -> None:
    torch.manual_seed(3)
    network = build("encoder", **GPT, classes=4).eval()
    mask = torch.tensor([[1, 1, 0]])
    with torch.no_grad():
        first = network(torch.tensor([[1, 2, 3]]), mask)
        second = network(torch.tensor([[1, 2, 9]]), mask)
    assert set(first) == {"last_hidden_state", "pooler_output", "logits"}
    assert torch.allclose(first["logits"], second["logits"], atol=1e-6)
    with pytest.raises(ExecutorError) as caught:
        network(torch.tensor([[1, 2, 3]]), torch.tensor([[1, 1]]))
    assert caught.value.field == "inputs.attention_mask.shape"


@pytest.mark.parametrize("name", ["gpt", "encoder"])
def test_a_transformer_says_what_it_takes(name: str) -> None:
    network = build(name, **GPT)
    tokens = network.inputs[0]
    assert (tokens.minimum, tokens.maximum) == (0, 10)
    with pytest.raises(ExecutorError) as caught:
        network(torch.zeros(1, 9, dtype=torch.int64))
    assert caught.value.expected == "[any, at most 8]"
    assert refused(name, **{**GPT, "heads": 5}).field == "architecture.heads"


OWN = "import torch\ndef build(size, **more):\n    return torch.nn.Linear(size, 2)\n"


def test_a_model_may_bring_its_own_network(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(OWN)
    network = build_architecture(Manifest(parameters={"size": 3}), tmp_path)
    assert network.in_features == 3
    (tmp_path / "net.py").write_text(OWN)
    named = Manifest(architecture="net.py", parameters={"size": 4})
    assert build_architecture(named, tmp_path).in_features == 4


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("", "none"),
        ("def build(**parameters):\n    return 1\n", "int"),
        ("def build():\n    pass\n", "TypeError"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("def build(:", "SyntaxError"),
    ],
)
def test_a_network_of_its_own_that_is_none_is_told(
    tmp_path: Path, code: str, found: str
) -> None:
    (tmp_path / "model.py").write_text(code)
    with pytest.raises(ExecutorError) as caught:
        build_architecture(Manifest(parameters={"size": 3}), tmp_path)
    assert (caught.value.code, caught.value.field) == (
        ErrorCode.INVALID_MODEL,
        "architecture",
    )
    assert caught.value.found.startswith(found)


def test_a_network_of_its_own_lies_in_the_models_folder(tmp_path: Path) -> None:
    for name in ("missing.py", "../evil.py"):
        with pytest.raises(ExecutorError, match="gives no network"):
            build_architecture(Manifest(architecture=name), tmp_path)


def gpt_reference(state: dict[str, Any], tokens: list[int], heads: int) -> Any:
    """GPT-2's logits in plain numpy."""
    w = {name: weight.numpy() for name, weight in state.items()}
    x = w["transformer.wte.weight"][tokens]
    x = x + w["transformer.wpe.weight"][: len(tokens)]
    for index in range(GPT["layers"]):
        h = f"transformer.h.{index}"
        own = norm(x, w, f"{h}.ln_1")
        x = x + attend(own, w, f"{h}.attn", heads, causal=True)
        y = linear(norm(x, w, f"{h}.ln_2"), w, f"{h}.mlp.c_fc")
        y = 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
        x = x + linear(y, w, f"{h}.mlp.c_proj")
    x = norm(x, w, "transformer.ln_f")
    return x @ w.get("lm_head.weight", w["transformer.wte.weight"]).T


def toml(name: str, **parameters: Any) -> str:
    """The table of a manifest."""
    values = {k: str(v).lower() for k, v in parameters.items()}
    lines = [f'name = "{name}"', *(f"{k} = {v}" for k, v in values.items())]
    return "\n".join(["[architecture]", *lines, ""])


def grown(name: str, **parameters: Any) -> Any:
    """A network whose weights differ from each other."""
    torch.manual_seed(4)
    network = build(name, **parameters).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn_like(weight) * 0.5)
    return network


@pytest.mark.parametrize("more", [{}, {"tied": False, "bias": False}])
def test_gpt_answers_a_request_as_a_reference_in_numpy(
    run: Run, tmp_path: Path, more: dict[str, Any]
) -> None:
    state = grown("gpt", **GPT, **more).state_dict()
    path = files.weights(tmp_path, state, toml("gpt", **GPT, **more))
    tokens = [3, 1, 4, 1, 5]
    answer = run(path, question(tensor(tokens, [1, 5], "INT64", "tokens")))
    found = np.reshape(answer.data, (5, 11))
    assert np.abs(found - gpt_reference(state, tokens, GPT["heads"])).max() < 1e-4
    answer = run(path, question(tensor([11], [1, 1], "INT64", "tokens")))
    assert (answer.code, answer.error["field"]) == (
        "INVALID_INPUT",
        "inputs.tokens.data",
    )


def test_encoder_answers_a_request_as_the_network_does(
    run: Run, tmp_path: Path
) -> None:
    parameters = {**GPT, "classes": 4}
    network = grown("encoder", **parameters)
    path = files.weights(tmp_path, network.state_dict(), toml("encoder", **parameters))
    ids = tensor([1, 2, 9, 9], [1, 4], "INT64", "input_ids")
    mask = tensor([1, 1, 0, 0], [1, 4], "INT64", "attention_mask")
    for given, arguments in (
        ([ids], (torch.tensor([[1, 2, 9, 9]]),)),
        ([mask, ids], (torch.tensor([[1, 2, 9, 9]]), torch.tensor([[1, 1, 0, 0]]))),
    ):
        outputs = run(path, question(*given)).json["outputs"]
        with torch.no_grad():
            wanted = network(*arguments)
        assert [output["name"] for output in outputs] == list(wanted)
        for output in outputs:
            array = np.reshape(output["data"], output["shape"])
            assert np.abs(array - wanted[output["name"]].numpy()).max() < 1e-5


def test_a_network_of_the_models_own_answers_a_request(
    run: Run, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    network = torch.nn.Linear(3, 2)
    parameters = "[architecture]\nsize = 3\n"
    path = files.weights(tmp_path, network.state_dict(), parameters)
    (path.parent / "model.py").write_text(OWN)
    answer = run(path, question(tensor([1, 2, 3], [1, 3])))
    wanted = network(torch.tensor([[1.0, 2.0, 3.0]])).detach().numpy()
    assert np.abs(np.array(answer.data) - wanted[0]).max() < 1e-6
    # Named by the manifest, and with the names of its own inputs.
    own = OWN.replace(
        "return ", "from ncn_executor.manifest import TensorSpec\n    m = "
    )
    own += '    m.inputs = (TensorSpec("mine", "FP32", (-1, 3)),)\n    return m\n'
    (path.parent / "model.py").unlink()
    (path.parent / "net.py").write_text(own)
    manifest = path.parent / "model.toml"
    manifest.write_text(parameters.replace("]\n", ']\nname = "net.py"\n'))
    answer = run(path, question(tensor([1, 2, 3], [1, 3], name="mine")))
    assert np.abs(np.array(answer.data) - wanted[0]).max() < 1e-6
    answer = run(path, question(tensor([1, 2], [1, 2], name="mine")))
    assert (answer.code, answer.error["field"]) == (
        "INVALID_INPUT",
        "inputs.mine.shape",
    )
