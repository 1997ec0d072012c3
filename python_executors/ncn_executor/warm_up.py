"""Inputs that a model can be run on before there is a request."""

import io
import json
import math
from collections.abc import Sequence

import numpy as np

from ncn_executor import open_inference
from ncn_executor.contract import Request
from ncn_executor.datatypes import DATATYPES, datatype_of
from ncn_executor.manifest import TensorSpec
from ncn_executor.tensors import Array, Tensors

INPUT_BYTES_MAX = 64 * 1024 * 1024
# JSON takes long to read; beyond this, a request has another form.
_JSON_ELEMENTS_MAX = 65536


def made_up_inputs(specs: Sequence[TensorSpec], full: bool) -> Tensors:
    """Zeros, and empty texts, of the shapes that a model declares.

    A dimension that may have any size has the size 1. For a full warm-up, those of an
    image are the image's.

    Returns:
        One tensor per input; none at all when a shape or a datatype is not known, or
        when one tensor would have more than INPUT_BYTES_MAX bytes.
    """
    tensors: Tensors = {}
    for spec in specs:
        array = _made_up(spec, full)
        if array is None:
            return {}
        tensors[spec.name] = array
    return tensors


def made_up_request(specs: Sequence[TensorSpec], inputs: Tensors) -> Request | None:
    """The request that gives such inputs: a blank image if the model takes one, else
    JSON; None when there are no inputs, or too many elements for JSON."""
    how = specs[0].preprocess if len(specs) == 1 else None
    if inputs and how is not None:
        from PIL import Image

        height, width = how.size
        blank = io.BytesIO()
        Image.new(how.color, (width, height)).save(blank, "PNG")
        return Request(blank.getvalue(), "image/png")
    elements = sum(array.size for array in inputs.values())
    if not inputs or elements > _JSON_ELEMENTS_MAX:
        return None
    tensors = [
        {
            "name": name,
            "shape": array.shape,
            "datatype": datatype_of(array),
            "data": array.reshape(-1).tolist(),
        }
        for name, array in inputs.items()
    ]
    data = json.dumps({"inputs": tensors}).encode()
    return Request(data, open_inference.CONTENT_TYPE)


def _made_up(spec: TensorSpec, full: bool) -> Array | None:
    """One tensor, unless too little is known of it."""
    image = _image_shape(spec)
    datatype = spec.datatype or ("FP32" if image else None)
    shape = image if spec.shape is None else spec.shape
    if datatype is None or shape is None:
        return None
    largest = (
        image if full and image and len(image) == len(shape) else (1,) * len(shape)
    )
    sizes = [size if size >= 0 else one for size, one in zip(shape, largest)]
    if math.prod(sizes) * np.dtype(DATATYPES[datatype]).itemsize > INPUT_BYTES_MAX:
        return None
    blank = "" if datatype == "BYTES" else 0
    return np.full(sizes, blank, dtype=DATATYPES[datatype])


def _image_shape(spec: TensorSpec) -> tuple[int, ...] | None:
    """The shape that an image is turned into."""
    how = spec.preprocess
    if how is None:
        return None
    channels = 1 if how.color == "L" else 3
    if how.layout == "NCHW":
        return (1, channels, *how.size)
    return (1, *how.size, channels)
