#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "native/executor_error.h"

namespace ncn::native {

// What a report says besides how it ended: the time of each step and what computed.
struct Measurements {
  std::vector<std::pair<std::string, double>> timings_ms;          // In the order of their ends.
  std::vector<std::pair<std::string, std::string>> versions = {};  // By name.
};

// Adds the time of its life to a step.
class Timed {
 public:
  Timed(Measurements& measurements, std::string_view step)
      : measurements_(measurements), step_(step) {}
  ~Timed();
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  Measurements& measurements_;
  const std::string_view step_;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

// Reports as src/executors/executor_report.h reads them, of at most kReportBytesMax bytes.
inline constexpr std::size_t kReportBytesMax = 64 * 1024;
// `content_type` is that of an example that goes with it.
std::string ReportReady(std::string_view warm_up, const Measurements& measurements,
                        std::string_view content_type = "");
std::string ReportAnswer(std::string_view content_type, const Measurements& measurements);
// Says it on stderr, too.
std::string ReportFailure(const ExecutorError& error, const Measurements& measurements);

}  // namespace ncn::native
