#pragma once

#include "native/onnx_runtime.h"

namespace ncn::native {

// Holds the whole conversation of a ready child on `fd`: loads one model, then answers requests for
// it; python_executors/ncn_executor/ready_child.py describes the frames. Returns the exit status
// when the node closes the stream, when the model cannot be loaded, and when a frame makes no
// sense.
int ServeReadyChild(const OnnxRuntime& runtime, int fd);

}  // namespace ncn::native
