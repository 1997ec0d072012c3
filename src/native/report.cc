#include "native/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace ncn::native {
namespace {

using json = nlohmann::ordered_json;

constexpr std::size_t kTextCharactersMax = 2000;

std::string Dump(json report, const Measurements& measurements) {
  json timings = json::object(), versions = json::object();
  for (const auto& [step, ms] : measurements.timings_ms) {
    timings[step] = std::round(ms * 1000) / 1000;
  }
  for (const auto& [name, version] : measurements.versions) versions[name] = version;
  report["timings_ms"] = std::move(timings);
  report["versions"] = std::move(versions);
  // Texts from a model may hold what UTF-8 cannot.
  return report.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string Clip(const std::string& text) {
  const std::string_view head = Head(text, kTextCharactersMax - 1);
  return head.size() == text.size() ? text : std::string(head) + "…";
}

}  // namespace

Timed::~Timed() {
  const double took_ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began_).count();
  auto& timings = measurements_.timings_ms;
  const auto found = std::find_if(timings.begin(), timings.end(),
                                  [&](const auto& timing) { return timing.first == step_; });
  if (found != timings.end()) {
    found->second += took_ms;
  } else {
    timings.emplace_back(step_, took_ms);
  }
}

std::string ReportReady(std::string_view warm_up, const Measurements& measurements,
                        std::string_view content_type) {
  json report = {{"status", "ready"}, {"warm_up", warm_up}};
  if (!content_type.empty()) report["content_type"] = content_type;
  return Dump(std::move(report), measurements);
}

std::string ReportAnswer(std::string_view content_type, const Measurements& measurements) {
  return Dump({{"status", "ok"}, {"content_type", content_type}}, measurements);
}

std::string ReportFailure(const ExecutorError& error, const Measurements& measurements) {
  std::fprintf(stderr, "%s\n", error.Describe().c_str());
  json parts = {{"code", Name(error.code)}, {"message", Clip(error.message)}};
  for (const auto& [key, text] :
       {std::pair("field", &error.field), std::pair("expected", &error.expected),
        std::pair("found", &error.found), std::pair("path", &error.path)}) {
    if (!text->empty()) parts[key] = Clip(*text);
  }
  return Dump({{"status", "error"}, {"error", std::move(parts)}}, measurements);
}

}  // namespace ncn::native
