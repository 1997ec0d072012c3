"""The datatypes of the Open Inference Protocol and numpy's names for them."""

from typing import Any

# Datatype -> numpy name. BYTES holds texts, one object per element.
DATATYPES = {
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
}
_BY_NUMPY_NAME = {numpy_name: name for name, numpy_name in DATATYPES.items()}


def is_float(datatype: str) -> bool:
    """Whether values may be NaN or infinite."""
    return datatype.startswith("FP")


def datatype_of(array: Any) -> str:
    """The protocol's name for an array's type; "" when it has none."""
    if array.dtype.kind in "US":
        return "BYTES"
    return _BY_NUMPY_NAME.get(str(array.dtype), "")
