#include "native/onnx_runtime.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <onnxruntime_session_options_config_keys.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::native {
namespace {

// The lowest version of the interface that has all that is used here, and so the oldest library.
constexpr std::uint32_t kApiVersion = 14;

// An ONNX model, y = Relu(x) with one element each.
constexpr unsigned char kSmallestModel[] = {
    0x08, 0x08, 0x42, 0x04, 0x0a, 0x00, 0x10, 0x0d, 0x3a, 0x33, 0x0a, 0x0c, 0x0a, 0x01, 0x78, 0x12,
    0x01, 0x79, 0x22, 0x04, 0x52, 0x65, 0x6c, 0x75, 0x12, 0x01, 0x67, 0x5a, 0x0f, 0x0a, 0x01, 0x78,
    0x12, 0x0a, 0x0a, 0x08, 0x08, 0x01, 0x12, 0x04, 0x0a, 0x02, 0x08, 0x01, 0x62, 0x0f, 0x0a, 0x01,
    0x79, 0x12, 0x0a, 0x0a, 0x08, 0x08, 0x01, 0x12, 0x04, 0x0a, 0x02, 0x08, 0x01};

}  // namespace

QuietStderr::QuietStderr() {
  std::fflush(stderr);
  kept_ = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
  // Open for reading, where each word fails: a process that has opened something for writing may
  // have left something there, and no other is made from it.
  const int nowhere = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nowhere < 0) return;
  ::dup2(nowhere, STDERR_FILENO);
  ::close(nowhere);
}

QuietStderr::~QuietStderr() {
  if (kept_ < 0) return;
  std::fflush(stderr);
  ::dup2(kept_, STDERR_FILENO);
  ::close(kept_);
}

absl::StatusOr<std::unique_ptr<OnnxRuntime>> OnnxRuntime::Open(const std::string& library) {
  const QuietStderr quiet;
  void* const opened = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (opened == nullptr) {
    return absl::NotFoundError(base::StrCat("cannot open ONNX Runtime: ", ::dlerror()));
  }
  using GetBase = const OrtApiBase* (*)();
  const auto get_base = reinterpret_cast<GetBase>(::dlsym(opened, "OrtGetApiBase"));
  if (get_base == nullptr) {
    return absl::FailedPreconditionError(base::StrCat(library, " is not ONNX Runtime"));
  }
  const std::string version = get_base()->GetVersionString();
  const OrtApi* const api = get_base()->GetApi(kApiVersion);
  if (api == nullptr) {
    return absl::FailedPreconditionError(base::StrCat("ONNX Runtime ", version, " is too old: 1.",
                                                      kApiVersion, " or later is needed"));
  }
  OrtEnv* env = nullptr;
  if (OrtStatus* failed = api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "ncn", &env)) {
    const absl::Status status = absl::InternalError(api->GetErrorMessage(failed));
    api->ReleaseStatus(failed);
    return status;
  }
  std::unique_ptr<OnnxRuntime> runtime(new OnnxRuntime(*api, {env, api->ReleaseEnv}, version));
  RETURN_IF_ERROR(runtime->ToStatus(api->DisableTelemetryEvents(env)));
  return runtime;
}

absl::Status OnnxRuntime::ToStatus(OrtStatus* failed, OrtErrorCode* code) const {
  if (failed == nullptr) return absl::OkStatus();
  if (code != nullptr) *code = api_.GetErrorCode(failed);
  absl::Status status = absl::InternalError(api_.GetErrorMessage(failed));
  api_.ReleaseStatus(failed);
  return status;
}

absl::StatusOr<OrtOwned<OrtSessionOptions>> OnnxRuntime::MakeOptions(std::uint32_t threads) const {
  OrtSessionOptions* made = nullptr;
  RETURN_IF_ERROR(ToStatus(api_.CreateSessionOptions(&made)));
  OrtOwned<OrtSessionOptions> options(made, api_.ReleaseSessionOptions);
  RETURN_IF_ERROR(ToStatus(api_.SetIntraOpNumThreads(made, static_cast<int>(threads))));
  RETURN_IF_ERROR(ToStatus(api_.SetInterOpNumThreads(made, 1)));
  RETURN_IF_ERROR(ToStatus(api_.SetSessionLogSeverityLevel(made, ORT_LOGGING_LEVEL_FATAL)));
  // Threads that spin would burn a core while they wait for a request.
  RETURN_IF_ERROR(ToStatus(
      api_.AddSessionConfigEntry(made, kOrtSessionOptionsConfigAllowIntraOpSpinning, "0")));
  return options;
}

absl::Status OnnxRuntime::Rehearse() const {
  const QuietStderr quiet;
  ASSIGN_OR_RETURN(const auto options, MakeOptions(1));
  OrtSession* made = nullptr;
  RETURN_IF_ERROR(ToStatus(api_.CreateSessionFromArray(
      env_.get(), kSmallestModel, sizeof(kSmallestModel), options.get(), &made)));
  const OrtOwned<OrtSession> session(made, api_.ReleaseSession);
  OrtMemoryInfo* memory = nullptr;
  RETURN_IF_ERROR(
      ToStatus(api_.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory)));
  const OrtOwned<OrtMemoryInfo> owned_memory(memory, api_.ReleaseMemoryInfo);
  float x = 0;
  const std::int64_t shape = 1;
  OrtValue* value = nullptr;
  RETURN_IF_ERROR(ToStatus(api_.CreateTensorWithDataAsOrtValue(
      memory, &x, sizeof(x), &shape, 1, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &value)));
  const OrtOwned<OrtValue> input(value, api_.ReleaseValue);
  const char *const x_name = "x", *const y_name = "y";
  OrtValue* output = nullptr;
  const OrtValue* const inputs = input.get();
  RETURN_IF_ERROR(
      ToStatus(api_.Run(session.get(), nullptr, &x_name, &inputs, 1, &y_name, 1, &output)));
  api_.ReleaseValue(output);
  return absl::OkStatus();
}

}  // namespace ncn::native
