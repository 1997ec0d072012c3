"""EnCodec's decoder as it is built, but narrow and untrained: codes to sound.

Défossez et al. 2022, arXiv:2210.13438: a sum of one vector per codebook, then SEANet's
decoder, which is causal: a convolution, an LSTM around which its input is carried, and
four steps that each lengthen the sound by their ratio and halve the channels.
"""

import torch
from torch import nn
from torch.nn import functional

BOOKS, CODES = 8, 1024
RATIOS = (8, 5, 4, 2)
SAMPLES_PER_FRAME = 320
KERNEL = 7


class Quantizer(nn.Module):  # type: ignore[misc]
    """[1, BOOKS, frames] to [1, width, frames]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Embedding(CODES, width) for _ in range(BOOKS))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        summed = torch.zeros(1)
        for book, layer in enumerate(self.layers):
            summed = summed + layer(codes[:, book])
        return summed.transpose(1, 2)


class CausalConv(nn.Module):  # type: ignore[misc]
    """Sees what came before; before the first, the sound's mirror image."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(before, after, kernel)
        self.left = kernel - 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(functional.pad(x, [self.left, 0], mode="reflect"))


class Longer(nn.Module):  # type: ignore[misc]
    """So many times as long, half as many channels; the last half-window is cut."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(channels, channels // 2, 2 * ratio, ratio)
        self.cut = ratio

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return y[:, :, : y.size(2) - self.cut]


class Residual(nn.Module):  # type: ignore[misc]
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.ELU(),
            CausalConv(channels, channels // 2, 3),
            nn.ELU(),
            nn.Conv1d(channels // 2, channels, 1),
        )
        self.shortcut = nn.Conv1d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shortcut(x) + self.inner(x)


class Memory(nn.Module):  # type: ignore[misc]
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, num_layers=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps = x.permute(2, 0, 1)
        return (self.lstm(steps)[0] + steps).permute(1, 2, 0)


class Decoder(nn.Module):  # type: ignore[misc]
    """[1, BOOKS, frames] INT64 to [1, 1, samples] FP32."""

    def __init__(self, width: int = 8, filters: int = 2) -> None:
        super().__init__()
        self.quantizer = Quantizer(width)
        channels = filters * 2 ** len(RATIOS)
        parts: list[nn.Module] = [CausalConv(width, channels, KERNEL), Memory(channels)]
        for ratio in RATIOS:
            parts += [nn.ELU(), Longer(channels, ratio), Residual(channels // 2)]
            channels //= 2
        parts += [nn.ELU(), CausalConv(channels, 1, KERNEL)]
        self.decoder = nn.Sequential(*parts)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.quantizer(codes))


def decoder() -> Decoder:
    """The same one each time."""
    torch.manual_seed(11)
    network = Decoder()
    network.eval()
    return network
