"""PNG and JPEG become the tensor that the manifest describes."""

import io
from typing import Any

import numpy as np
import pytest
from ncn_executor import images
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.manifest import TensorSpec
from ncn_executor.preprocess import ImagePreprocess
from PIL import Image


def encoded(pixels: Any, kind: str = "PNG", **more: Any) -> bytes:
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def decoded(data: bytes, kind: str = "png", datatype: str = "FP32", **how: Any) -> Any:
    how = {"color": "L", "size": (2, 3), **how}
    spec = TensorSpec("image", datatype, preprocess=ImagePreprocess(**how))
    return images.decode_image(data, f"image/{kind}", spec)


GREY = np.array([[0, 50, 100], [150, 200, 255]], np.uint8)


def test_scale_mean_and_std_apply_in_that_order() -> None:
    found = decoded(encoded(GREY), scale=0.1, mean=(2.0,), std=(4.0,))
    assert found.shape == (1, 1, 2, 3)
    assert found.dtype == np.float32
    assert np.allclose(found[0, 0], (GREY * 0.1 - 2) / 4, atol=1e-6)


def test_inversion_comes_first() -> None:
    assert decoded(encoded(GREY), invert=True)[0, 0].tolist() == (255.0 - GREY).tolist()


def test_colours_keep_their_channels_in_both_layouts() -> None:
    red = np.zeros((2, 3, 3), np.uint8)
    red[:, :, 0] = 200
    first = decoded(encoded(red), color="RGB", mean=(0.0, 1.0, 2.0))
    assert first.shape == (1, 3, 2, 3)
    assert first[0, :, 0, 0].tolist() == [200.0, -1.0, -2.0]
    assert decoded(encoded(red), color="RGB", layout="NHWC").shape == (1, 2, 3, 3)


@pytest.mark.parametrize(
    ("datatype", "dtype"), [("UINT8", np.uint8), ("FP16", np.float16)]
)
def test_the_input_says_the_datatype(datatype: str, dtype: Any) -> None:
    found = decoded(encoded(GREY), datatype=datatype)
    assert found.dtype == dtype
    assert found[0, 0].tolist() == GREY.tolist()


def test_jpeg_and_another_size_are_resized() -> None:
    white = np.full((40, 60), 255, np.uint8)
    found = decoded(encoded(white, "JPEG"), "jpeg")
    assert found.shape == (1, 1, 2, 3)
    assert found.min() > 250


def test_transparent_pixels_are_white() -> None:
    clear = np.zeros((2, 3, 4), np.uint8)
    assert decoded(encoded(clear)).min() == 255.0


def test_16_bit_greys_keep_their_brightness() -> None:
    deep = (GREY.astype(np.uint16)) * 257
    assert decoded(encoded(deep))[0, 0].tolist() == GREY.tolist()


def test_a_photo_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    data = encoded(GREY, exif=exif)
    assert decoded(data)[0, 0].tolist() == GREY[::-1, ::-1].tolist()


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n",
        b"no image",
        encoded(GREY)[:-30],
        encoded(GREY, "JPEG"),
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 100,
    ],
)
def test_a_damaged_or_wrong_image_is_refused(data: bytes) -> None:
    with pytest.raises(ExecutorError) as caught:
        decoded(data)
    assert caught.value.code is ErrorCode.INVALID_INPUT
    assert "PNG" in caught.value.expected


def test_a_huge_image_is_refused_before_it_is_decoded() -> None:
    bomb = encoded(Image.new("1", (10_000, 10_000)))
    assert len(bomb) < 20_000
    with pytest.raises(ExecutorError) as caught:
        decoded(bomb)
    assert caught.value.code is ErrorCode.INPUT_TOO_LARGE
    assert caught.value.found == "10000 x 10000"
