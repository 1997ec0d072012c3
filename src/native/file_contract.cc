#include "native/file_contract.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "native/onnx_model.h"

namespace ncn::native {
namespace {

constexpr mode_t kFileMode = 0644;
constexpr std::uint64_t kThreadsMax = 1024;

std::string Variable(const char* name) {
  // The file contract hands these over, so they are arguments of this program, not settings.
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

Result<std::uint64_t> Number(const char* name, std::uint64_t fallback, std::uint64_t max) {
  const std::string text = Variable(name);
  if (text.empty()) return fallback;
  std::uint64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec == std::errc() && read.ptr == text.data() + text.size() && number >= 1 &&
      number <= max) {
    return number;
  }
  return InvalidInput(base::StrCat(name, " cannot be used"), name,
                      base::StrCat("a whole number from 1 to ", max),
                      "'" + std::string(Head(text, 40)) + "'");
}

Result<std::string> ReadInput(const std::filesystem::path& path) {
  auto data = base::ReadFile(path, kPayloadBytesMax);
  if (data.ok()) return *std::move(data);
  if (absl::IsResourceExhausted(data.status())) {
    std::error_code error;
    return InputTooLarge(std::filesystem::file_size(path, error));
  }
  return ExecutorError{.code = ErrorCode::kInvalidInput,
                       .message = base::StrCat("the input file is missing: ", path.native()),
                       .path = path.native()};
}

// By rename, so that nobody sees half of it; the sandbox's /work needs no more.
absl::Status WriteByRename(const std::filesystem::path& path, std::string_view bytes) {
  const std::string temporary = path.native() + ".partial";
  const base::UniqueFd file(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kFileMode));
  if (!file.valid()) return base::ErrnoStatus(errno, temporary);
  RETURN_IF_ERROR(base::WriteAll(file.get(), bytes));
  if (::rename(temporary.c_str(), path.c_str()) == 0) return absl::OkStatus();
  return base::ErrnoStatus(errno, path.native());
}

Result<Response> Respond(const std::string& library, const FileContract& contract,
                         Measurements& measurements) {
  ASSIGN_OR_RETURN(const std::uint64_t threads, Number("NCN_THREADS", 1, kThreadsMax));
  Request request{.data = {},
                  .content_type = MediaType(Variable("NCN_CONTENT_TYPE")),
                  .accept = Variable("NCN_ACCEPT"),
                  .request_id = Variable("NCN_REQUEST_ID")};
  ASSIGN_OR_RETURN(request.output_bytes_max,
                   Number("NCN_OUTPUT_BYTES_MAX", kPayloadBytesMax, INT64_MAX));
  ASSIGN_OR_RETURN(const std::string data, ReadInput(contract.input));
  request.data = data;
  absl::StatusOr<std::unique_ptr<OnnxRuntime>> runtime = [&] {
    const Timed timed(measurements, "import");
    return OnnxRuntime::Open(library);
  }();
  if (!runtime.ok()) {
    return ExecutorError{.code = ErrorCode::kUnsupportedModel,
                         .message = std::string(runtime.status().message())};
  }
  ASSIGN_OR_RETURN(const OnnxModel model,
                   OnnxModel::Load(**runtime, contract.model, static_cast<std::uint32_t>(threads),
                                   /*check_weights=*/true, measurements));
  ASSIGN_OR_RETURN(Response response, model.Run(request, measurements));
  const Timed timed(measurements, "write");
  if (const auto status = WriteByRename(contract.output, response.data); !status.ok()) {
    return ExecutorError{.code = ErrorCode::kOutputTooLarge,
                         .message = std::string(status.message()),
                         .path = contract.output.native()};
  }
  return response;
}

}  // namespace

int RunFileContract(const std::string& library, const FileContract& contract) {
  Measurements measurements;
  std::string report;
  bool answered = false;
  try {
    const auto response = [&] {
      const Timed timed(measurements, "total");
      return Respond(library, contract, measurements);
    }();
    answered = response.ok();
    report = answered ? ReportAnswer(response->content_type, measurements)
                      : ReportFailure(response.status(), measurements);
  } catch (const std::bad_alloc&) {
    report = ReportFailure(OutOfMemory(), measurements);
  }
  const auto written = WriteByRename(contract.output.native() + ".report.json", report);
  if (written.ok()) return answered ? 0 : 1;
  std::fprintf(stderr, "cannot write the report: %s\n", std::string(written.message()).c_str());
  return 1;
}

}  // namespace ncn::native
