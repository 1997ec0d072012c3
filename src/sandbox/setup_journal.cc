#include "sandbox/setup_journal.h"

#include <time.h>

#include <cerrno>

namespace ncn::sandbox {
namespace {

std::uint64_t NowMicroseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

}  // namespace

SetupJournal::SetupJournal(std::uint8_t fail_step)
    : fail_step_(fail_step), began_us_(NowMicroseconds()) {
  steps_.reserve(static_cast<std::size_t>(kLastStep));
}

bool SetupJournal::Begin(SetupStep step) {
  Done();
  step_ = step;
  under_way_ = true;
  if (fail_step_ == static_cast<std::uint8_t>(step)) return Fail(ECANCELED, "made to fail");
  return true;
}

void SetupJournal::Done() {
  const std::uint64_t now = NowMicroseconds();
  if (under_way_) steps_.push_back({step_, static_cast<std::uint32_t>(now - began_us_)});
  began_us_ = now;
  under_way_ = false;
}

bool SetupJournal::Fail(int error, std::string_view detail) {
  error_ = error;
  detail_ = detail.substr(0, kPathBytesMax);
  return false;
}

bool SetupJournal::FailErrno(std::string_view detail) { return Fail(errno, detail); }

LaunchReport SetupJournal::Failure() const {
  LaunchReport report;
  report.kind = ReportKind::kFailed;
  report.step = step_;
  report.error = error_;
  report.detail = detail_;
  return report;
}

}  // namespace ncn::sandbox
