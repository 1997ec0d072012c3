"""What a manifest says of inputs that come as files: `[inputs.preprocess]`."""

import dataclasses

from ncn_executor.manifest_table import Table, error

IMAGE_SIDE_MAX = 16384
SAMPLE_RATE_MAX = 768_000
CHANNELS_MAX = 8
SECONDS_MAX = 3600
KINDS = ("image", "audio")
KEYS = {
    "image": "kind color size scale mean std layout invert".split(),
    "audio": "kind sample_rate channels samples seconds_max layout".split(),
}
COLORS = ("L", "RGB")
LAYOUTS = {"image": ("NCHW", "NHWC"), "audio": ("NCT", "NT", "T")}


@dataclasses.dataclass(frozen=True)
class ImagePreprocess:
    """How pixels become a tensor: value = (pixel * scale - mean) / std.

    Attributes:
        color: "L" (grey) or "RGB".
        size: height and width that the image is resized to.
        scale: factor on pixels from 0 to 255.
        mean: subtracted, one number per channel or one for all.
        std: divided by, like mean.
        layout: "NCHW" or "NHWC"; N is 1.
        invert: replaces each pixel by 255 minus it, before all else.
    """

    color: str
    size: tuple[int, int]
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: str = "NCHW"
    invert: bool = False


@dataclasses.dataclass(frozen=True)
class AudioPreprocess:
    """How sound becomes a tensor of samples from -1 to 1.

    Attributes:
        sample_rate: in Hz; other rates are resampled.
        channels: 1 takes the mean of all; more must be there, or be copied from one.
        samples: how many; longer sounds are cut, shorter ones followed by silence.
            0 keeps what there is.
        seconds_max: longer sounds are refused.
        layout: "NCT", "NT" or "T"; N is 1, and the latter two have one channel.
    """

    sample_rate: int
    channels: int = 1
    samples: int = 0
    seconds_max: int = 600
    layout: str = "NCT"


Preprocess = ImagePreprocess | AudioPreprocess


def read_preprocess(table: Table) -> Preprocess:
    """Checks the table of one input."""
    kind = table.choice("kind", "image", KINDS)
    table.only(KEYS[kind])
    return _image(table) if kind == "image" else _audio(table)


def _image(table: Table) -> ImagePreprocess:
    color = table.choice("color", "RGB", COLORS)
    size = table.integers("size", low=1, high=IMAGE_SIDE_MAX)
    if len(size) != 2:
        found = f"{len(size)} numbers"
        raise error("has no size", table.at("size"), "[height, width]", found)
    channels = 1 if color == "L" else 3
    std = table.numbers("std", (1.0,), channels)
    if 0.0 in std:
        raise error("divides by zero", table.at("std"), "not zero", "0")
    return ImagePreprocess(
        color=color,
        size=(size[0], size[1]),
        scale=table.number("scale", 1.0),
        mean=table.numbers("mean", (0.0,), channels),
        std=std,
        layout=table.choice("layout", "NCHW", LAYOUTS["image"]),
        invert=table.flag("invert"),
    )


def _audio(table: Table) -> AudioPreprocess:
    channels = table.whole("channels", 1, 1, CHANNELS_MAX)
    layout = table.choice("layout", "NCT", LAYOUTS["audio"])
    if channels > 1 and layout != "NCT":
        raise table.wrong("layout", f"NCT for {channels} channels", layout)
    return AudioPreprocess(
        sample_rate=table.whole("sample_rate", 0, 1, SAMPLE_RATE_MAX),
        channels=channels,
        samples=table.whole("samples", 0, 0, SAMPLE_RATE_MAX * SECONDS_MAX),
        seconds_max=table.whole("seconds_max", 600, 1, SECONDS_MAX),
        layout=layout,
    )
