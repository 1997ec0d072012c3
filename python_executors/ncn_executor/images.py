"""PNG and JPEG as a tensor, the way the manifest says."""

import io
import warnings
from typing import Any

import numpy as np

from ncn_executor.errors import ErrorCode, ExecutorError, first_line, invalid_input
from ncn_executor.manifest import TensorSpec
from ncn_executor.preprocess import ImagePreprocess
from ncn_executor.tensors import Array

CONTENT_TYPES = {"image/png": "PNG", "image/jpeg": "JPEG"}
PIXELS_MAX = 64 * 1024 * 1024


def decode_image(data: bytes, content_type: str, spec: TensorSpec) -> Array:
    """Decodes, resizes and scales one image.

    Returns:
        [1, C, H, W] or [1, H, W, C] of the input's datatype (FP32 unless it
        says otherwise).
    """
    assert isinstance(spec.preprocess, ImagePreprocess)
    pixels = _pixels(data, CONTENT_TYPES[content_type], spec.preprocess)
    return _normalise(pixels, spec)


def _pixels(data: bytes, kind: str, how: ImagePreprocess) -> Array:
    """[H, W, C] bytes of the wanted colour and size."""
    from PIL import Image, ImageOps

    # The limit below is stricter, and an error rather than a warning.
    Image.MAX_IMAGE_PIXELS = None
    height, width = how.size
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[kind]) as image:
                _check_pixels(image.width, image.height)
                image.load()
                upright = ImageOps.exif_transpose(image) or image
                flat = _flatten(upright).convert(how.color)
        resized = flat.resize((width, height), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise invalid_input(
            f"the image cannot be read: {first_line(error)[:200]}",
            field="input",
            expected=f"a whole {kind} file",
            found=f"{len(data)} bytes of something else, or a damaged file",
        ) from error
    return np.asarray(resized, dtype=np.uint8).reshape(height, width, -1)


def _check_pixels(width: int, height: int) -> None:
    """A small file can claim to be a huge image."""
    if width * height > PIXELS_MAX:
        raise ExecutorError(
            ErrorCode.INPUT_TOO_LARGE,
            "the image has too many pixels: send a smaller one",
            field="input",
            expected=f"at most {PIXELS_MAX} pixels",
            found=f"{width} x {height}",
        )


def _flatten(image: Any) -> Any:
    """16-bit greys become 8-bit ones, transparent pixels become white."""
    from PIL import Image

    if image.mode.startswith("I"):
        values = np.asarray(image, dtype=np.float64) / 257.0
        image = Image.fromarray(np.clip(values + 0.5, 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image


def _normalise(pixels: Array, spec: TensorSpec) -> Array:
    """Applies inversion, scale, mean and standard deviation."""
    how = spec.preprocess
    assert isinstance(how, ImagePreprocess)
    values = pixels.astype(np.float32)
    if how.invert:
        values = np.float32(255) - values
    values = values * np.float32(how.scale)
    values = values - np.array(how.mean, np.float32)
    values = values / np.array(how.std, np.float32)
    if how.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    result: Array = np.ascontiguousarray(values[np.newaxis])
    if spec.datatype == "UINT8":
        return np.clip(np.rint(result), 0, 255).astype(np.uint8)
    return result.astype(np.float16) if spec.datatype == "FP16" else result
