#include "native/ready_child.h"

#include <cstdio>
#include <new>
#include <optional>

#include "base/status_macros.h"
#include "base/strings.h"
#include "native/frame_stream.h"
#include "native/heap.h"
#include "native/json_value.h"
#include "native/onnx_model.h"

namespace ncn::native {
namespace {

constexpr std::int64_t kThreadsMax = 1024;
constexpr char kMadeUpRequest[] =
    R"({"do":"run","content_type":"a/b","accept":"","request_id":"","output_bytes_max":1})";
// A file's weights are read, become tensors, and are packed for the processor.
constexpr std::uint64_t kHeapCopies = 3;

struct LoadOrder {
  std::string model;
  std::uint32_t threads = 1;
  std::string warm_up;
  bool check_weights = true;
};

// Nothing when it is no JSON; whoever asks for its members finds none.
JsonValue ParseHeader(const std::string& text) {
  auto header = ParseJson(text);
  return header.ok() ? std::move(header).value() : JsonValue();
}

std::string TextOf(const JsonValue& header, std::string_view key) {
  const JsonValue* const found = header.Find(key);
  return found != nullptr && found->is(JsonValue::Kind::kText) ? found->text() : "";
}

// Negative where there is none.
std::int64_t CountOf(const JsonValue& header, std::string_view key) {
  const JsonValue* const found = header.Find(key);
  return found != nullptr && found->is(JsonValue::Kind::kInteger) ? found->integer() : -1;
}

absl::StatusOr<LoadOrder> ReadLoadOrder(const FrameStream::Header& frame) {
  const JsonValue header = ParseHeader(frame.text);
  if (TextOf(header, "do") == "load" && frame.body_bytes == 0) {
    const std::int64_t threads = CountOf(header, "threads");
    const JsonValue* const check = header.Find("check_weights");
    const LoadOrder order = {
        TextOf(header, "model"), static_cast<std::uint32_t>(threads), TextOf(header, "warm_up"),
        check == nullptr || !check->is(JsonValue::Kind::kBool) || check->boolean()};
    const bool known =
        order.warm_up == "full" || order.warm_up == "small" || order.warm_up == "none";
    if (threads >= 1 && threads <= kThreadsMax && !order.model.empty() && known) return order;
  }
  return absl::InvalidArgumentError("the first frame does not say what to load");
}

absl::StatusOr<Request> ReadRequest(const FrameStream::Header& frame) {
  const JsonValue header = ParseHeader(frame.text);
  if (TextOf(header, "do") != "run") {
    return absl::InvalidArgumentError("a frame asks for something other than a run");
  }
  Request request{.data = {},
                  .content_type = MediaType(TextOf(header, "content_type")),
                  .accept = TextOf(header, "accept"),
                  .request_id = TextOf(header, "request_id")};
  if (const std::int64_t bytes_max = CountOf(header, "output_bytes_max"); bytes_max >= 0) {
    request.output_bytes_max = static_cast<std::uint64_t>(bytes_max);
  }
  return request;
}

// "full", "small" or "none": what was done. A model may take no input like the made-up one.
std::string WarmUp(const OnnxModel& model, const std::string& wanted, Measurements& measurements) {
  if (wanted == "none") return wanted;
  const Timed timed(measurements, "warm_up");
  // Code that has not run in this process costs a fault for every few pages of it.
  (void)ReadRequest({.text = kMadeUpRequest});
  (void)ReportAnswer(wanted, measurements);
  const auto done = model.WarmUp(wanted == "full");
  if (!done.ok()) {
    std::fprintf(stderr, "the warm-up failed: %s\n", done.status().Describe().c_str());
  }
  return done.ok() && *done ? wanted : "none";
}

Result<OnnxModel> LoadOnHeap(const OnnxRuntime& runtime, const LoadOrder& order,
                             Measurements& measurements) {
  std::error_code error;
  const std::uintmax_t file_bytes = std::filesystem::file_size(order.model, error);
  const std::uint64_t needed = error ? 0 : kHeapCopies * file_bytes;
  MakeRoomOnHeap(needed);
  auto model =
      OnnxModel::Load(runtime, order.model, order.threads, order.check_weights, measurements);
  // What is left of a small one's is for the answer.
  if (needed > kHeapTakenBytesMax) TrimHeap();
  return model;
}

// Loads, warms up and says so; nothing when that failed.
absl::StatusOr<std::optional<OnnxModel>> Load(const OnnxRuntime& runtime, FrameStream& stream,
                                              const LoadOrder& order) {
  Measurements measurements;
  std::optional<OnnxModel> model;
  std::string report;
  try {
    std::string warm_up;
    auto loaded = [&]() -> Result<OnnxModel> {
      const Timed timed(measurements, "total");
      ASSIGN_OR_RETURN(OnnxModel made, LoadOnHeap(runtime, order, measurements));
      warm_up = WarmUp(made, order.warm_up, measurements);
      return made;
    }();
    if (loaded.ok()) {
      model = std::move(loaded).value();
      report = ReportReady(warm_up, measurements);
    } else {
      report = ReportFailure(loaded.status(), measurements);
    }
  } catch (const std::bad_alloc&) {
    report = ReportFailure(OutOfMemory(), measurements);
  }
  RETURN_IF_ERROR(stream.Write(report, ""));
  return model;
}

absl::Status Answer(FrameStream& stream, const FrameStream::Header& frame, const OnnxModel& model,
                    Measurements& measurements) {
  ASSIGN_OR_RETURN(Request request, ReadRequest(frame));
  std::string data;
  std::optional<Response> response;
  std::string report;
  measurements.timings_ms.clear();
  try {
    if (frame.body_bytes > kPayloadBytesMax) {
      RETURN_IF_ERROR(stream.SkipBody(frame.body_bytes));
    } else {
      ASSIGN_OR_RETURN(data, stream.ReadBody(frame.body_bytes));
    }
    auto answered = [&]() -> Result<Response> {
      const Timed timed(measurements, "total");
      if (frame.body_bytes > kPayloadBytesMax) return InputTooLarge(frame.body_bytes);
      request.data = data;
      return model.Run(request, measurements);
    }();
    if (answered.ok()) {
      response = std::move(answered).value();
      report = ReportAnswer(response->content_type, measurements);
    } else {
      report = ReportFailure(answered.status(), measurements);
    }
  } catch (const std::bad_alloc&) {
    response.reset();
    report = ReportFailure(OutOfMemory(), measurements);
  }
  return stream.Write(report, response ? std::string_view(response->data) : "");
}

bool AsksForWarmUp(const std::string& text) { return TextOf(ParseHeader(text), "do") == "warm_up"; }

// Answers with a request that writes what requests write, or else warms up.
absl::Status WarmUpAgain(FrameStream& stream, const OnnxModel& model) {
  Measurements measurements;
  const OnnxModel::Sample example = model.Example();
  if (!example.data.empty()) {
    return stream.Write(ReportReady("none", measurements, example.content_type), example.data);
  }
  const std::string done = WarmUp(model, "full", measurements);
  return stream.Write(ReportReady(done, measurements), "");
}

absl::Status Converse(const OnnxRuntime& runtime, FrameStream& stream) {
  ASSIGN_OR_RETURN(auto frame, stream.ReadHeader());
  if (!frame) return absl::OkStatus();
  ASSIGN_OR_RETURN(const LoadOrder order, ReadLoadOrder(*frame));
  ASSIGN_OR_RETURN(const std::optional<OnnxModel> model, Load(runtime, stream, order));
  if (!model) return absl::FailedPreconditionError("the model cannot be loaded");
  Measurements measurements{.timings_ms = {}, .versions = {{"onnxruntime", runtime.version()}}};
  for (;;) {
    ASSIGN_OR_RETURN(frame, stream.ReadHeader());
    if (!frame) return absl::OkStatus();
    if (frame->body_bytes == 0 && AsksForWarmUp(frame->text)) {
      RETURN_IF_ERROR(WarmUpAgain(stream, *model));
      continue;
    }
    RETURN_IF_ERROR(Answer(stream, *frame, *model, measurements));
  }
}

}  // namespace

int ServeReadyChild(const OnnxRuntime& runtime, int fd) {
  FrameStream stream(fd);
  const absl::Status status = Converse(runtime, stream);
  if (status.ok() || absl::IsUnavailable(status)) return 0;  // The node is done, or gone.
  std::fprintf(stderr, "ready child: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace ncn::native
