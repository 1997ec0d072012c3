"""The networks for bare weights."""

from typing import Any

import pytest
import torch
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
