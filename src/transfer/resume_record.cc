#include "transfer/resume_record.h"

#include <algorithm>

#include "base/check.h"
#include "base/strings.h"
#include "nlohmann/json.hpp"

namespace ncn::transfer {
namespace {

using Json = nlohmann::json;

constexpr int kVersion = 1;

absl::Status Wrong(std::string_view what) {
  return absl::InvalidArgumentError(base::StrCat("resume record: ", what));
}

absl::StatusOr<std::vector<ByteRange>> ParseRanges(const Json& json, std::uint64_t size_bytes) {
  if (!json.is_array() || json.size() > kResumeRangesMax)
    return Wrong("'present' is no short list");
  std::vector<ByteRange> ranges;
  for (const Json& item : json) {
    if (!item.is_array() || item.size() != 2 || !item[0].is_number_unsigned() ||
        !item[1].is_number_unsigned()) {
      return Wrong("an element of 'present' is no pair of offsets");
    }
    const ByteRange range = {item[0].get<std::uint64_t>(), item[1].get<std::uint64_t>()};
    const bool follows = ranges.empty() || range.begin > ranges.back().end;
    if (!follows || range.begin >= range.end || range.end > size_bytes) {
      return Wrong("the ranges of 'present' are not in order, or past the end");
    }
    ranges.push_back(range);
  }
  return ranges;
}

const std::string* Text(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() ? nullptr : found->get_ptr<const std::string*>();
}

}  // namespace

std::string EncodeResumeRecord(const ResumeRecord& record) {
  std::string text = base::StrCat("{\"version\":", kVersion, ",\"size_bytes\":", record.size_bytes,
                                  ",\"sha256\":\"", record.sha256, "\",\"boot_id\":\"",
                                  record.boot_id, "\",\"present\":[");
  const std::size_t count = std::min(record.present.size(), kResumeRangesMax);
  for (std::size_t i = 0; i < count; ++i) {
    absl::StrAppend(&text, i == 0 ? "[" : ",[", record.present[i].begin, ",", record.present[i].end,
                    "]");
  }
  text += "]}";
  NCN_CHECK(text.size() < kResumeRecordBytes);
  text.resize(kResumeRecordBytes - 1, ' ');
  text += '\n';
  return text;
}

absl::StatusOr<ResumeRecord> ParseResumeRecord(std::string_view bytes) {
  if (bytes.size() != kResumeRecordBytes) return Wrong("not of its size");
  const Json json = Json::parse(bytes, nullptr, false);
  if (!json.is_object()) return Wrong("no JSON object");
  if (const auto version = json.find("version"); version == json.end() || *version != kVersion) {
    return Wrong("of another version");
  }
  const auto size = json.find("size_bytes");
  const std::string* sha256 = Text(json, "sha256");
  const std::string* boot_id = Text(json, "boot_id");
  const auto present = json.find("present");
  if (size == json.end() || !size->is_number_unsigned() || sha256 == nullptr ||
      boot_id == nullptr || present == json.end()) {
    return Wrong("a field is missing or of another type");
  }
  ResumeRecord record = {.size_bytes = size->get<std::uint64_t>(),
                         .sha256 = *sha256,
                         .boot_id = *boot_id,
                         .present = {}};
  absl::StatusOr<std::vector<ByteRange>> ranges = ParseRanges(*present, record.size_bytes);
  if (!ranges.ok()) return ranges.status();
  record.present = *std::move(ranges);
  return record;
}

}  // namespace ncn::transfer
