"""A convolutional classifier: [N, C, H, W] FP32 to [N, classes] FP32."""

from collections import OrderedDict
from typing import Any

from ncn_executor.architectures.parameters import Parameters
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.manifest import TensorSpec


def build(parameters: Parameters) -> Any:
    """Makes the network.

    Each stage is a convolution of the same size, ReLU and a 2x2 maximum; fully
    connected layers follow.

    Parameters: in_channels, height, width, channels (of each stage), kernel
    (odd), hidden (features of the layers before the last), classes, softmax.
    Weights: conv1.weight, conv1.bias, ... fc1.weight, fc1.bias, ...
    """
    from torch import nn

    channels = parameters.sizes("channels", count_min=1)
    kernel = parameters.size("kernel", 3)
    height, width = parameters.size("height"), parameters.size("width")
    before = in_channels = parameters.size("in_channels", 1)
    hidden = parameters.sizes("hidden", [])
    classes = parameters.size("classes")
    softmax = parameters.flag("softmax", False)
    shrink = 2 ** len(channels)
    if kernel % 2 == 0 or min(height, width) < shrink:
        raise ExecutorError(
            ErrorCode.INVALID_MANIFEST,
            "the architecture does not fit together",
            field="architecture",
            expected=f"an odd kernel, and height and width from {shrink}",
            found=f"kernel {kernel}, height {height}, width {width}",
        )
    layers: OrderedDict[str, Any] = OrderedDict()
    for index, after in enumerate(channels, 1):
        layers[f"conv{index}"] = nn.Conv2d(before, after, kernel, padding=kernel // 2)
        layers[f"relu{index}"] = nn.ReLU()
        layers[f"pool{index}"] = nn.MaxPool2d(2)
        before = after
    layers["flatten"] = nn.Flatten()
    features = before * (height // shrink) * (width // shrink)
    for index, after in enumerate([*hidden, classes], 1):
        layers[f"fc{index}"] = nn.Linear(features, after)
        if index <= len(hidden):
            layers[f"fc_relu{index}"] = nn.ReLU()
        features = after
    if softmax:
        layers["softmax"] = nn.Softmax(dim=1)
    network = nn.Sequential(layers)
    network.takes = (TensorSpec("x", "FP32", (-1, in_channels, height, width)),)
    network.gives = (TensorSpec("output_0", "FP32", (-1, classes)),)
    return network
