// What an executor writes beside its output is as hostile as the code that wrote it.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "executors/executor_report.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto report = ncn::executors::ParseExecutorReport(text);
  if (report.ok() && report->failure && report->failure->message.empty()) std::abort();
  const std::string printable = ncn::executors::Printable(text, 100);
  // A replaced byte takes three, so the bound is on what was taken in.
  if (printable.size() > 300 || printable.find('\n') != std::string::npos) std::abort();
  return 0;
}
