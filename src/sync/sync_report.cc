#include "sync/sync_report.h"

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "sync/progress_text.h"

namespace ncn::sync {
namespace {

using nlohmann::json;

json JsonOf(const transfer::FileProgress& file) {
  return {{"name", file.name},
          {"state", transfer::FileStateName(file.state)},
          {"size_bytes", file.size_bytes},
          {"present_bytes", file.present_bytes},
          {"fetched_bytes", file.fetched_bytes},
          {"bytes_per_second", file.bytes_per_second},
          {"seconds_left", file.time_left ? json(file.time_left->count()) : json()},
          {"retries", file.retries},
          {"source", file.source}};
}

json JsonOf(const SyncCounts& counts) {
  return {{"passes", counts.passes},
          {"failed_passes", counts.failed_passes},
          {"installed_models", counts.installed_models},
          {"failed_models", counts.failed_models},
          {"fetched_bytes", counts.transfer.fetched_bytes},
          {"fetched_files", counts.transfer.fetched_files},
          {"failed_files", counts.transfer.failed_files},
          {"retries", counts.transfer.retries},
          {"wrong_hashes", counts.transfer.wrong_hashes}};
}

// Of an object that may be anything.
std::uint64_t Number(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}
std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? base::OneLine(found->get<std::string>())
                                                     : "";
}

std::string ModelsText(const json& models) {
  std::size_t good = 0;
  std::string problems;
  for (const json& model : models) {
    if (!model.is_object()) continue;
    const std::string outcome = Text(model, "outcome");
    if (outcome != "failed" && outcome != "skipped") {
      ++good;
      continue;
    }
    problems += base::StrCat("  ", Text(model, "model"), " ", Text(model, "version"), ": ", outcome,
                             ": ", Text(model, "error"), "\n");
  }
  return base::StrCat(good, " of ", models.size(), " models are in order\n", problems);
}

}  // namespace

std::string ToJson(const SyncState& state) {
  json object = {{"running", state.running},
                 {"subnet_version", state.subnet_version},
                 {"finished_seconds", state.finished_seconds},
                 {"pause_ms", state.pause.count()},
                 {"last_error", state.last_error},
                 {"total", JsonOf(state.progress.total)},
                 {"files", json::array()},
                 {"models", json::array()},
                 {"counts", JsonOf(state.counts)}};
  for (const auto& file : state.progress.files) object["files"].push_back(JsonOf(file));
  for (const ModelOutcome& outcome : state.outcomes) {
    object["models"].push_back({{"model", outcome.model},
                                {"version", outcome.version},
                                {"outcome", Name(outcome.kind)},
                                {"error", std::string(outcome.status.message())}});
  }
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string TextOfJson(std::string_view text) {
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object() || !object.contains("counts") || !object["counts"].is_object()) return "";
  const json& counts = object["counts"];
  std::string lines = base::StrCat("Subnet version ", Number(object, "subnet_version"), ": ");
  const std::string error = Text(object, "last_error");
  const bool none = Number(object, "finished_seconds") == 0 && error.empty();
  lines += none            ? "not synchronised yet\n"
           : error.empty() ? ModelsText(object.value("models", json::array()))
                           : base::StrCat("not synchronised: ", error, "\n");
  const json total = object.value("total", json::object());
  if (total.is_object() && Number(total, "size_bytes") > 0) {
    transfer::FileProgress progress{.size_bytes = Number(total, "size_bytes"),
                                    .present_bytes = Number(total, "present_bytes")};
    const auto rate = total.find("bytes_per_second");
    transfer::SetRate(progress, rate != total.end() && rate->is_number() ? rate->get<double>() : 0);
    lines += base::StrCat("  now: ", ProgressLine(progress), "\n");
  }
  return lines + base::StrCat("  since start: ", Number(counts, "passes"), " passes, ",
                              Number(counts, "failed_passes"), " of them failed; ",
                              BytesText(Number(counts, "fetched_bytes")), " fetched, ",
                              Number(counts, "fetched_files"), " files whole, ",
                              Number(counts, "failed_files"), " failed, ",
                              Number(counts, "retries"), " retries, ",
                              Number(counts, "wrong_hashes"), " wrong hashes\n");
}

}  // namespace ncn::sync
