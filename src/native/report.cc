#include "native/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "native/json_writer.h"
#include "native/utf8.h"

namespace ncn::native {
namespace {

// As many as a reader keeps. Five of them fit a report, though escapes make six bytes of one.
constexpr std::size_t kTextBytesMax = 2000;

// Writes an object's members into a text, in the order of the calls.
class ObjectWriter {
 public:
  explicit ObjectWriter(std::string& json) : json_(json) { json_ += '{'; }

  void Add(std::string_view key, std::string_view text) { AppendJson(text, Value(key)); }
  void Add(std::string_view key, double number) { AppendJson(number, Value(key)); }
  // The place for a value that is written otherwise.
  std::string& Value(std::string_view key) {
    if (json_.back() != '{') json_ += ',';
    AppendJson(key, json_);
    return json_ += ':';
  }
  void Close() { json_ += '}'; }

 private:
  std::string& json_;
};

void AddMeasurements(const Measurements& measurements, ObjectWriter& report) {
  ObjectWriter timings(report.Value("timings_ms"));
  for (const auto& [step, ms] : measurements.timings_ms) {
    timings.Add(step, std::round(ms * 1000) / 1000);
  }
  timings.Close();
  ObjectWriter versions(report.Value("versions"));
  for (const auto& [name, version] : measurements.versions) versions.Add(name, version);
  versions.Close();
}

// What a reader keeps of it, in UTF-8: texts from a model or a request may hold anything.
std::string Clip(std::string_view text) {
  constexpr std::string_view kMore = "\u2026";
  std::string clean = ReplaceInvalidUtf8(text);
  if (clean.size() <= kTextBytesMax) return clean;
  clean.resize(kTextBytesMax - kMore.size());
  clean.resize(ValidUtf8(clean));  // No part of a character.
  return clean.append(kMore);
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
  std::string json;
  ObjectWriter report(json);
  report.Add("status", "ready");
  report.Add("warm_up", warm_up);
  if (!content_type.empty()) report.Add("content_type", content_type);
  AddMeasurements(measurements, report);
  report.Close();
  return json;
}

std::string ReportAnswer(std::string_view content_type, const Measurements& measurements) {
  std::string json;
  ObjectWriter report(json);
  report.Add("status", "ok");
  report.Add("content_type", content_type);
  AddMeasurements(measurements, report);
  report.Close();
  return json;
}

std::string ReportFailure(const ExecutorError& error, const Measurements& measurements) {
  std::fprintf(stderr, "%s\n", error.Describe().c_str());
  std::string json;
  ObjectWriter report(json);
  report.Add("status", "error");
  ObjectWriter parts(report.Value("error"));
  parts.Add("code", Name(error.code));
  parts.Add("message", Clip(error.message));
  for (const auto& [key, text] :
       {std::pair("field", &error.field), std::pair("expected", &error.expected),
        std::pair("found", &error.found), std::pair("path", &error.path)}) {
    if (!text->empty()) parts.Add(key, Clip(*text));
  }
  parts.Close();
  AddMeasurements(measurements, report);
  report.Close();
  return json;
}

}  // namespace ncn::native
