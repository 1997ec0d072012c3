#include "apps/ncn/presentation.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/strings.h"
#include "executors/executor_report.h"

namespace ncn::apps {
namespace {

using executors::Printable;
using nlohmann::json;

constexpr std::size_t kValuesMax = 32;
constexpr std::size_t kTensorsMax = 16;

std::string Word(const json& value) {
  return value.is_string() ? Printable(value.get_ref<const std::string&>(), 80)
                           : Printable(value.dump(), 80);
}

// The labels of a tensor: its parameters' "labels", when there is one for each value.
std::vector<std::string> LabelsOf(const json& tensor, std::size_t values) {
  std::vector<std::string> labels;
  const auto parameters = tensor.find("parameters");
  if (parameters == tensor.end() || !parameters->is_object()) return labels;
  const auto found = parameters->find("labels");
  if (found == parameters->end() || !found->is_array() || found->size() != values) return labels;
  for (const json& label : *found) labels.push_back(Word(label));
  return labels;
}

std::string DescribeValues(const json& tensor) {
  const auto data = tensor.find("data");
  if (data == tensor.end() || !data->is_array()) return "";
  const std::vector<std::string> labels = LabelsOf(tensor, data->size());
  std::size_t best = 0;
  for (std::size_t i = 0; i < data->size(); ++i) {
    if ((*data)[i].is_number() && (*data)[best].is_number() &&
        (*data)[i].get<double>() > (*data)[best].get<double>()) {
      best = i;
    }
  }
  std::string text;
  for (std::size_t i = 0; i < std::min(data->size(), kValuesMax); ++i) {
    const json& value = (*data)[i];
    text += absl::StrFormat(
        "  %8s  %s%s\n", labels.empty() ? base::StrCat(i) : labels[i],
        value.is_number_float() ? absl::StrFormat("%.6f", value.get<double>()) : Word(value),
        !labels.empty() && i == best ? "  <" : "");
  }
  if (data->size() > kValuesMax) {
    text += absl::StrFormat("  and %d more; --output FILE keeps all\n", data->size() - kValuesMax);
  }
  return text;
}

std::string DescribeTensor(const json& tensor) {
  if (!tensor.is_object()) return "";
  return base::StrCat(Word(tensor.value("name", json())), "  ",
                      Word(tensor.value("datatype", json())), " ",
                      Word(tensor.value("shape", json())), "\n", DescribeValues(tensor));
}

}  // namespace

std::string DescribeOutput(const inference::Payload& output) {
  const std::string size =
      base::StrCat(output.bytes.size(), " bytes of ", Printable(output.content_type, 100), "\n");
  if (output.content_type != inference::kOpenInferenceJson) return size;
  const json answer = json::parse(output.bytes, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object()) return size;
  const auto tensors = answer.find("outputs");
  if (tensors == answer.end() || !tensors->is_array()) return size;
  std::string text;
  for (std::size_t i = 0; i < std::min(tensors->size(), kTensorsMax); ++i) {
    text += DescribeTensor((*tensors)[i]);
  }
  return text;
}

std::string DescribeRecord(const inference::ExecutionRecord& record) {
  std::string text = "steps\n";
  for (const inference::StepTime& step : record.steps) {
    text += absl::StrFormat("  %-20s %10.3f ms\n", Printable(step.step, 40),
                            static_cast<double>(step.duration.count()) / 1000.0);
  }
  text += absl::StrFormat("used      %.1f ms of CPU, %.1f MiB of memory at most\n",
                          static_cast<double>(record.usage.cpu.count()) / 1000.0,
                          static_cast<double>(record.usage.peak_memory_bytes) / (1 << 20));
  text += absl::StrFormat("sandbox   %s, isolation %s: %s\n", Printable(record.sandbox_mode, 20),
                          Printable(record.isolation, 20),
                          Printable(absl::StrJoin(record.layers, ", "), 1000));
  text += absl::StrFormat("executor  %s\n", Printable(record.executor, 200));
  for (const std::string& note : record.notes) {
    text += absl::StrFormat("note      %s\n", Printable(note, 400));
  }
  return text;
}

std::string MediaTypeOf(const std::string& file_name) {
  static const auto* const types =
      new std::map<std::string, std::string>{{"json", inference::kOpenInferenceJson},
                                             {"safetensors", inference::kSafetensors},
                                             {"png", "image/png"},
                                             {"jpg", "image/jpeg"},
                                             {"jpeg", "image/jpeg"},
                                             {"txt", "text/plain"},
                                             {"wav", "audio/wav"},
                                             {"flac", "audio/flac"},
                                             {"npy", "application/x-npy"},
                                             {"npz", "application/x-npz"}};
  const auto found = types->find(file_name.substr(file_name.rfind('.') + 1));
  return found == types->end() ? inference::kOctetStream : found->second;
}

}  // namespace ncn::apps
