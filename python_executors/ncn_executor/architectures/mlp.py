"""Fully connected layers: [N, sizes[0]] FP32 to [N, sizes[-1]] FP32."""

from collections import OrderedDict
from typing import Any

from ncn_executor.architectures.parameters import Parameters
from ncn_executor.manifest import TensorSpec


def build(parameters: Parameters) -> Any:
    """Makes the network.

    Parameters: sizes (features of each layer, the input's first), activation
    ("relu", "tanh" or "gelu", between layers), softmax (of the output).
    Weights: fc1.weight, fc1.bias, fc2.weight and so on.
    """
    from torch import nn

    sizes = parameters.sizes("sizes", count_min=2)
    activations = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}
    activation = activations[parameters.choice("activation", "relu", [*activations])]
    layers: OrderedDict[str, Any] = OrderedDict()
    last = len(sizes) - 1
    for index in range(1, last + 1):
        layers[f"fc{index}"] = nn.Linear(sizes[index - 1], sizes[index])
        if index < last:
            layers[f"activation{index}"] = activation()
    if parameters.flag("softmax", False):
        layers["softmax"] = nn.Softmax(dim=1)
    network = nn.Sequential(layers)
    network.takes = (TensorSpec("x", "FP32", (-1, sizes[0])),)
    network.gives = (TensorSpec("output_0", "FP32", (-1, sizes[-1])),)
    return network
