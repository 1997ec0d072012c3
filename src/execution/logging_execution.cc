#include "execution/logging_execution.h"

#include "base/logging.h"

namespace ncn::execution {

inference::InferenceResponse LoggingExecution::Execute(const inference::InferenceRequest& request,
                                                       const ExecutionContext& context) {
  const base::ScopedRequestId scope(request.id.value());
  base::Log("execution")
      .debug("started: model {}, {} bytes of {}", request.model.value(), request.input.bytes.size(),
             request.input.content_type);
  const base::SteadyTime start = clock_.SteadyNow();
  inference::InferenceResponse response = next_->Execute(request, context);
  const double milliseconds =
      std::chrono::duration<double, std::milli>(clock_.SteadyNow() - start).count();
  if (response.ok()) {
    base::Log("execution")
        .info("finished: model {}, {} bytes in {:.1f} ms", request.model.value(),
              response.result().output.bytes.size(), milliseconds);
  } else {
    const inference::Failure& failure = response.failure();
    base::Log("execution")
        .warn("failed: model {}, {} after {:.1f} ms: {}", request.model.value(),
              inference::Name(failure.kind), milliseconds, failure.message);
  }
  return response;
}

}  // namespace ncn::execution
