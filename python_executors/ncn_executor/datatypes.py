"""The datatypes of the Open Inference Protocol and numpy's names for them."""

from typing import Any

# Datatype -> what numpy makes its dtype of. BYTES holds texts, one object per element.
# Floats that numpy lacks are their bits in a field of that name, so that they pass for
# nothing else; the 8-bit ones are ONNX's.
DATATYPES: dict[str, Any] = {
    "BOOL": "bool",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
    "BF16": [("BF16", "<u2")],
    "FP8E4M3FN": [("FP8E4M3FN", "u1")],
    "FP8E4M3FNUZ": [("FP8E4M3FNUZ", "u1")],
    "FP8E5M2": [("FP8E5M2", "u1")],
    "FP8E5M2FNUZ": [("FP8E5M2FNUZ", "u1")],
}
_BY_NUMPY_NAME = {
    spec: name for name, spec in DATATYPES.items() if isinstance(spec, str)
}


def is_float(datatype: str) -> bool:
    """Whether values may be NaN or infinite."""
    return datatype.startswith("FP") or datatype == "BF16"


def is_narrow(datatype: str) -> bool:
    """Whether it is a float that numpy lacks; see `narrow_floats`."""
    return isinstance(DATATYPES.get(datatype), list)


def datatype_of(array: Any) -> str:
    """The protocol's name for an array's type; "" when it has none."""
    dtype = array.dtype
    if dtype.kind in "US":
        return "BYTES"
    if dtype.kind == "V":
        names = dtype.names or ("",)
        return str(names[0]) if is_narrow(names[0]) and len(names) == 1 else ""
    return _BY_NUMPY_NAME.get(str(dtype), "")
