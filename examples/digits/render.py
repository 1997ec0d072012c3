"""Draws digits with the fonts of a machine: dark ink on light paper, 28 x 28.

Everything random comes from the generator that is handed in, so that one seed
gives one set of images.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

SIDE = 28
# Digits are drawn larger and scaled down, which smooths them as a scanner does.
_DRAWN = 4 * SIDE
_SUFFIXES = (".ttf", ".otf", ".t1", ".pfb")
# Fonts of symbols and initials have no digits, or digits made of other shapes.
_LEFT_OUT = ("symbol", "dingbat", "initials", "linlibertine_i.", "keyboard", "_dr.")


@dataclasses.dataclass(frozen=True)
class Style:
    """How much images vary.

    Attributes:
        size: height of the digit as part of the image, least and most.
        rotation_degrees: largest turn to either side.
        shift_pixels: largest move in each direction, of 28.
        noise: largest standard deviation of the noise, of 255.
        ink: darkness of the ink on white paper, least and most, of 255.
    """

    size: tuple[float, float] = (0.55, 0.85)
    rotation_degrees: float = 14.0
    shift_pixels: float = 2.0
    noise: float = 24.0
    ink: tuple[float, float] = (140.0, 255.0)


def find_fonts(folder: Path) -> list[Path]:
    """The font files below a folder that have all ten digits, sorted."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
    return [path for path in files if _has_digits(path)]


def render_digit(
    digit: int,
    font: Path,
    generator: np.random.Generator,
    style: Style | None = None,
) -> npt.NDArray[np.uint8]:
    """Draws one digit; returns [28, 28] bytes, 255 is white."""
    style = style or Style()
    height = generator.uniform(*style.size) * _DRAWN
    ink = _drawn(digit, font, height)
    turn = generator.uniform(-style.rotation_degrees, style.rotation_degrees)
    right, down = generator.uniform(-style.shift_pixels, style.shift_pixels, 2) * 4
    turned = ink.rotate(
        turn, resample=Image.Resampling.BILINEAR, translate=(round(right), round(down))
    )
    small = turned.resize((SIDE, SIDE), Image.Resampling.BOX)
    darkness = np.asarray(small, np.float64) / 255.0 * generator.uniform(*style.ink)
    noise = generator.normal(0.0, generator.uniform(0.0, style.noise), (SIDE, SIDE))
    return np.clip(255.0 - darkness + noise, 0, 255).round().astype(np.uint8)


def render_set(
    fonts: Sequence[Path],
    per_font_and_digit: int,
    seed: int,
    style: Style | None = None,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Draws every digit in every font several times.

    Returns:
        Images [N, 28, 28] and what they show [N], in a fixed order.
    """
    generator = np.random.default_rng(seed)
    images, digits = [], []
    for font in fonts:
        for digit in range(10):
            for _ in range(per_font_and_digit):
                images.append(render_digit(digit, font, generator, style))
                digits.append(digit)
    return np.stack(images), np.array(digits, np.int64)


def _drawn(digit: int, font: Path, height: float) -> Image.Image:
    """White ink on black, centred, of a given height in drawn pixels."""
    # A first drawing tells how tall this font's digits are.
    probe = _load(font, 100)
    left, top, right, bottom = probe.getbbox(str(digit))
    points = 100.0 * height / max(bottom - top, 1)
    wide = (right - left) * points / 100.0
    points *= min(1.0, 0.9 * _DRAWN / max(wide, 1.0))
    face = _load(font, max(8, round(points)))
    left, top, right, bottom = face.getbbox(str(digit))
    image = Image.new("L", (_DRAWN, _DRAWN), 0)
    place = ((_DRAWN - left - right) / 2, (_DRAWN - top - bottom) / 2)
    ImageDraw.Draw(image).text(place, str(digit), fill=255, font=face)
    return image


def _load(font: Path, points: int) -> ImageFont.FreeTypeFont:
    """A face in one size, by the layout engine that every Pillow has."""
    return ImageFont.truetype(str(font), points, layout_engine=ImageFont.Layout.BASIC)


def _has_digits(font: Path) -> bool:
    """Whether the ten digits are there and all look different."""
    if any(part in font.name.lower() for part in _LEFT_OUT):
        return False
    try:
        face = _load(font, 48)
        shapes = {bytes(face.getmask(str(digit))) for digit in range(10)}
    except OSError:
        return False
    return len(shapes) == 10
