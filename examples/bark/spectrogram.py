"""Draws the spectrogram of a WAV.

python3 spectrogram.py SOUND.wav PICTURE.png
"""

import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

WINDOW, HOP = 1024, 160
HEIGHT, MARGIN = 256, 40
DYNAMIC_DB = 70.0
# From silence to loud: black, violet, orange, white.
COLOURS = np.array([(0, 0, 4), (87, 16, 110), (229, 92, 48), (252, 255, 200)])
INK, PAPER = (60, 60, 60), (255, 255, 255)


def read_sound(path: Path) -> tuple[Any, int]:
    """FP64 [samples] from -1 to 1, and how many a second, of 16 bits mono."""
    with wave.open(str(path)) as file:
        if (file.getnchannels(), file.getsampwidth()) != (1, 2):
            raise SystemExit(f"{path} is not mono of 16 bits")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return samples / 32768, file.getframerate()


def levels(sound: Any) -> Any:
    """[frequencies, times] in dB below the loudest, 0 to -DYNAMIC_DB."""
    padded = np.pad(sound, WINDOW // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    strength = np.abs(np.fft.rfft(windows * np.hanning(WINDOW))).T
    loudest = max(float(strength.max()), 1e-9)
    return 20 * np.log10(np.maximum(strength / loudest, 10 ** (-DYNAMIC_DB / 20)))


def draw(sound: Any, rate_hz: int) -> Any:
    """The picture, time to the right, frequency up to an eighth of the rate."""
    shown = levels(sound)[: WINDOW // 8]
    parts = (shown / DYNAMIC_DB + 1) * (len(COLOURS) - 1)
    steps = np.arange(len(COLOURS))
    pixels = np.stack([np.interp(parts, steps, c) for c in COLOURS.T], -1)
    plot = Image.fromarray(pixels[::-1].astype(np.uint8))
    plot = plot.resize((shown.shape[1], HEIGHT), Image.Resampling.BILINEAR)
    size = (plot.width + MARGIN + 20, HEIGHT + MARGIN)
    picture = Image.new("RGB", size, PAPER)
    picture.paste(plot, (MARGIN, 8))
    pen = ImageDraw.Draw(picture)
    for khz in range(int(rate_hz / 8000) + 1):
        y = 8 + HEIGHT - round(khz * 8000 / rate_hz * HEIGHT)
        pen.line((MARGIN - 4, y, MARGIN, y), INK)
        pen.text((6, y - 6), f"{khz} kHz", INK)
    for second in range(int(len(sound) / rate_hz) + 1):
        x = MARGIN + second * rate_hz // HOP
        pen.line((x, HEIGHT + 8, x, HEIGHT + 12), INK)
        pen.text((x - 5, HEIGHT + 14), f"{second} s", INK)
    return picture


def main() -> None:
    """Reads the command line."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    picture = draw(*read_sound(Path(sys.argv[1])))
    picture.quantize(64).save(sys.argv[2], optimize=True)


if __name__ == "__main__":
    main()
