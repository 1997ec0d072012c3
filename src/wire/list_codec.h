#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/strings.h"
#include "google/protobuf/repeated_ptr_field.h"
#include "wire/text.h"

namespace ncn::wire {

// Lists of texts, for the codecs of this room.

// Appends what the protocol can carry: at most kListEntriesMax entries, each cleaned and cut.
inline void EncodeList(const std::vector<std::string>& list, std::size_t entry_bytes_max,
                       google::protobuf::RepeatedPtrField<std::string>* out) {
  const std::size_t count = std::min(list.size(), kListEntriesMax);
  out->Reserve(static_cast<int>(count));
  for (std::size_t i = 0; i < count; ++i) *out->Add() = CleanText(list[i], entry_bytes_max);
}

inline absl::StatusOr<std::vector<std::string>> DecodeList(
    std::string_view field, std::size_t entry_bytes_max,
    google::protobuf::RepeatedPtrField<std::string>* list) {
  if (static_cast<std::size_t>(list->size()) > kListEntriesMax) {
    return absl::InvalidArgumentError(base::StrCat(
        field, " has ", list->size(), " entries; at most ", kListEntriesMax, " are allowed"));
  }
  std::vector<std::string> values;
  values.reserve(static_cast<std::size_t>(list->size()));
  for (std::string& entry : *list) {
    if (absl::Status status = CheckText(field, entry, entry_bytes_max); !status.ok()) return status;
    values.push_back(std::move(entry));
  }
  return values;
}

}  // namespace ncn::wire
