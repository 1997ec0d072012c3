"""ONNX models, run by ONNX Runtime on the CPU."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from ncn_executor.backends import Backend, run_failure
from ncn_executor.contract import Context
from ncn_executor.datatypes import datatype_of
from ncn_executor.errors import ErrorCode, ExecutorError, first_line, is_out_of_memory
from ncn_executor.formats import ModelFile
from ncn_executor.manifest import Manifest, TensorSpec
from ncn_executor.tensors import Tensors

# ONNX Runtime's names for element types -> the protocol's.
_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
_LOG_FATAL = 4
# An ONNX model, y = Relu(x) with one element each.
_SMALLEST_MODEL = bytes.fromhex(
    "080842040a00100d3a330a0c0a0178120179220452656c751201675a0f0a0178120a0a08"
    "080112040a020801620f0a0179120a0a08080112040a020801"
)


def import_onnxruntime() -> Any:
    """Imports onnxruntime without the 116 KB that Debian's prints meanwhile."""
    with _quiet():
        import onnxruntime
    return onnxruntime


def rehearse() -> None:
    """Makes and runs a session, so that a fork need not pay what the first one costs:
    onnxruntime registers all operators then. With one thread, hence without a pool."""
    import numpy

    onnxruntime = import_onnxruntime()
    options = _options(onnxruntime, 1)
    with _quiet():
        session = onnxruntime.InferenceSession(
            _SMALLEST_MODEL, options, providers=["CPUExecutionProvider"]
        )
        session.run(None, {"x": numpy.zeros(1, numpy.float32)})


def _options(onnxruntime: Any, threads: int) -> Any:
    """How every session of ours is set."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_FATAL
    # Threads that spin would burn a core while they wait for a request.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drops what native code writes to stderr; errors arrive as exceptions."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class OnnxBackend(Backend):
    """One session, made in the process that uses it: its threads survive no fork."""

    def __init__(self, model: ModelFile, context: Context) -> None:
        with context.timed("import"):
            onnxruntime = import_onnxruntime()
        context.versions["onnxruntime"] = str(onnxruntime.__version__)
        options = _options(onnxruntime, context.threads)
        try:
            with _quiet():
                self._session = onnxruntime.InferenceSession(
                    str(model.path), options, providers=["CPUExecutionProvider"]
                )
        except Exception as error:  # onnxruntime's errors share no base class.
            raise _load_error(model, error) from error
        self._check_names(model)
        self.inputs = _merge(self._session.get_inputs(), model.manifest)

    def run(self, tensors: Tensors) -> Tensors:
        names = [output.name for output in self._session.get_outputs()]
        try:
            values = self._session.run(names, dict(tensors))
        except Exception as error:  # onnxruntime's errors share no base class.
            if is_out_of_memory(error):
                raise
            raise run_failure(first_line(error)[:500], self.inputs) from error
        for name, value in zip(names, values):
            if not hasattr(value, "dtype") or not datatype_of(value):
                raise ExecutorError(
                    ErrorCode.UNSUPPORTED_MODEL,
                    f"the output '{name}' is not a tensor of a known type",
                    field=f"outputs.{name}",
                    expected="a tensor",
                    found=type(value).__name__,
                )
        return dict(zip(names, values))

    def _check_names(self, model: ModelFile) -> None:
        """A manifest that names other tensors than the model is of no use."""
        manifest = model.manifest
        for kind, specs, nodes in (
            ("inputs", manifest.inputs, self._session.get_inputs()),
            ("outputs", manifest.outputs, self._session.get_outputs()),
        ):
            wanted, found = [s.name for s in specs], [n.name for n in nodes]
            if specs and set(wanted) != set(found):
                raise ExecutorError(
                    ErrorCode.INVALID_MODEL,
                    f"the {kind} of {model.path.name} are not those of its manifest",
                    field=kind,
                    expected=", ".join(wanted),
                    found=", ".join(found),
                    path=str(model.path),
                )


def _merge(nodes: Any, manifest: Manifest) -> tuple[TensorSpec, ...]:
    """The model's own signature, with what the manifest adds to it."""
    declared = {spec.name: spec for spec in manifest.inputs}
    merged = []
    for node in nodes:
        spec = declared.get(node.name, TensorSpec(node.name))
        # A dimension that is a name or nothing may have any size.
        shape = tuple(d if isinstance(d, int) and d > 0 else -1 for d in node.shape)
        merged.append(
            TensorSpec(
                name=node.name,
                datatype=spec.datatype or _DATATYPES.get(node.type),
                shape=spec.shape if spec.shape is not None else shape,
                allow_non_finite=spec.allow_non_finite,
                preprocess=spec.preprocess,
            )
        )
    return tuple(merged)


def _load_error(model: ModelFile, error: Exception) -> Exception:
    """A session that cannot be made, as a typed error."""
    if is_out_of_memory(error) or isinstance(error, OSError):
        return error
    missing = type(error).__name__ == "NotImplemented"
    return ExecutorError(
        ErrorCode.UNSUPPORTED_MODEL if missing else ErrorCode.INVALID_MODEL,
        f"{model.path.name} cannot be loaded: {first_line(error)[:500]}",
        field="model",
        expected="an ONNX model that ONNX Runtime can run",
        found=type(error).__name__,
        path=str(model.path),
    )
