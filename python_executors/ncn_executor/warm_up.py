"""Inputs that a model can be run on before there is a request."""

import io
import json
import math
import wave
from collections.abc import Sequence

import numpy as np

from ncn_executor import open_inference, safetensors_codec
from ncn_executor.contract import Request
from ncn_executor.datatypes import DATATYPES, datatype_of, is_narrow
from ncn_executor.json_data import to_json
from ncn_executor.manifest import TensorSpec
from ncn_executor.narrow_floats import narrow
from ncn_executor.preprocess import AudioPreprocess, ImagePreprocess, Preprocess
from ncn_executor.tensors import Array, Tensors

INPUT_BYTES_MAX = 64 * 1024 * 1024
_FRACTION = 0.12345679
# JSON takes long to read; beyond this, a request has another form.
_JSON_ELEMENTS_MAX = 65536


def made_up_inputs(specs: Sequence[TensorSpec], full: bool) -> Tensors:
    """Numbers with as many digits as requests have, ones where numbers are whole, as
    near as the model allows, and empty texts, of the shapes that a model declares.
    Division by a whole zero would end the process.

    A dimension that may have any size has the size 1. For a full warm-up, those of an
    image or a sound are theirs. What is optional is left out.

    Returns:
        One tensor per input; none at all when a shape or a datatype is not known, or
        when one tensor would have more than INPUT_BYTES_MAX bytes.
    """
    tensors: Tensors = {}
    for spec in specs:
        if spec.optional:
            continue
        array = _made_up(spec, full)
        if array is None:
            return {}
        tensors[spec.name] = array
    return tensors


def made_up_request(specs: Sequence[TensorSpec], inputs: Tensors) -> Request | None:
    """The request that gives such inputs: a blank image or a silent sound if the model
    takes one, else JSON, or safetensors when that would be long; None when there are
    no inputs, or too many texts.
    """
    how = specs[0].preprocess if len(specs) == 1 else None
    if inputs and isinstance(how, ImagePreprocess):
        return Request(_blank_image(how), "image/png")
    if inputs and isinstance(how, AudioPreprocess):
        return Request(_silence(how), "audio/wav")
    elements = sum(array.size for array in inputs.values())
    if not inputs:
        return None
    if elements > _JSON_ELEMENTS_MAX:
        if any(array.dtype == object for array in inputs.values()):
            return None
        data = safetensors_codec.encode(inputs, "", "", "")
        return Request(data, safetensors_codec.CONTENT_TYPE)
    tensors = [
        {
            "name": name,
            "shape": array.shape,
            "datatype": datatype_of(array),
            "data": to_json(array),
        }
        for name, array in inputs.items()
    ]
    data = json.dumps({"id": "made-up", "inputs": tensors}).encode()
    return Request(data, open_inference.CONTENT_TYPE)


def _made_up(spec: TensorSpec, full: bool) -> Array | None:
    """One tensor, unless too little is known of it."""
    own = _preprocessed_shape(spec.preprocess)
    datatype = spec.datatype or ("FP32" if own else None)
    shape = own if spec.shape is None else spec.shape
    if datatype is None or shape is None or spec.nested:
        return None
    largest = own if full and own and len(own) == len(shape) else (1,) * len(shape)
    sizes = [size if size >= 0 else one for size, one in zip(shape, largest)]
    if math.prod(sizes) * np.dtype(DATATYPES[datatype]).itemsize > INPUT_BYTES_MAX:
        return None
    if datatype == "BYTES":
        return np.full(sizes, "", dtype=object)
    value = 1.0 if "INT" in datatype else 0.0 if datatype == "BOOL" else _FRACTION
    value = value if spec.minimum is None else max(value, spec.minimum)
    value = value if spec.maximum is None else min(value, spec.maximum)
    if is_narrow(datatype):
        return narrow(np.full(sizes, value, np.float32), datatype)
    return np.full(sizes, value, dtype=DATATYPES[datatype])


def _preprocessed_shape(how: Preprocess | None) -> tuple[int, ...] | None:
    """The shape that an image, or a second of sound, is turned into."""
    if isinstance(how, ImagePreprocess):
        channels = 1 if how.color == "L" else 3
        if how.layout == "NCHW":
            return (1, channels, *how.size)
        return (1, *how.size, channels)
    if isinstance(how, AudioPreprocess):
        samples = how.samples or how.sample_rate
        return {
            "NCT": (1, how.channels, samples),
            "NT": (1, samples),
            "T": (samples,),
        }[how.layout]
    return None


def _blank_image(how: ImagePreprocess) -> bytes:
    from PIL import Image

    height, width = how.size
    blank = io.BytesIO()
    Image.new(how.color, (width, height)).save(blank, "PNG")
    return blank.getvalue()


def _silence(how: AudioPreprocess) -> bytes:
    samples = min(how.samples or how.sample_rate, how.sample_rate)
    silent = io.BytesIO()
    with wave.open(silent, "wb") as file:
        file.setnchannels(how.channels)
        file.setsampwidth(2)
        file.setframerate(how.sample_rate)
        file.writeframes(bytes(2 * how.channels * samples))
    return silent.getvalue()
