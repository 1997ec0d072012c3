"""ONNX models, run by ONNX Runtime on the CPU."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from ncn_executor.backends import Backend, check_outputs, run_failure
from ncn_executor.backends.onnx_signature import check_manifest, merge_inputs
from ncn_executor.backends.onnx_values import OnnxValues
from ncn_executor.backends.onnx_weights import refuse_nan
from ncn_executor.contract import Context
from ncn_executor.errors import ErrorCode, ExecutorError, first_line, is_out_of_memory
from ncn_executor.formats import ModelFile
from ncn_executor.tensors import Tensors

_LOG_FATAL = 4
# y = Relu(x), with one element each.
SMALLEST_MODEL = bytes.fromhex(
    "080842040a00100d3a330a0c0a0178120179220452656c751201675a0f0a0178120a0a08"
    "080112040a020801620f0a0179120a0a08080112040a020801"
)


def import_onnxruntime() -> Any:
    """Imports onnxruntime without the 116 KB that Debian's prints meanwhile."""
    with _quiet():
        import onnxruntime
    return onnxruntime


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
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        check_manifest(model, inputs, outputs)
        if context.check_weights:
            refuse_nan(model)
        self.inputs = merge_inputs(inputs, model.manifest.inputs)
        self._outputs = model.manifest.outputs
        self._values = OnnxValues(onnxruntime, inputs, outputs)

    def run(self, tensors: Tensors) -> Tensors:
        feeds = self._values.feeds(tensors)
        try:
            values = self._values.compute(self._session, feeds)
        except Exception as error:  # onnxruntime's errors share no base class.
            if is_out_of_memory(error):
                raise
            raise run_failure(first_line(error)[:500], self.inputs) from error
        outputs = self._values.outputs(values)
        check_outputs(outputs, self._outputs)
        return outputs


def _load_error(model: ModelFile, error: Exception) -> Exception:
    """A session that cannot be made, as a typed error."""
    if is_out_of_memory(error) or isinstance(error, OSError):
        return error
    # An operator that is registered but lacks code, and one that nobody knows.
    text = str(error)
    missing = type(error).__name__ == "NotImplemented" or any(
        words in text for words in ("not a registered function/op", "No Op registered")
    )
    return ExecutorError(
        ErrorCode.UNSUPPORTED_MODEL if missing else ErrorCode.INVALID_MODEL,
        f"{model.path.name} cannot be loaded: {first_line(error)[:500]}",
        field="model",
        expected="an ONNX model that ONNX Runtime can run",
        found=type(error).__name__,
        path=str(model.path),
    )
