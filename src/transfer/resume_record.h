#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "transfer/byte_ranges.h"

namespace ncn::transfer {

// Which bytes of a partial file are there.
struct ResumeRecord {
  std::uint64_t size_bytes = 0;    // Of the whole file.
  std::string sha256;              // Of the whole file, lower-case hex.
  std::string boot_id;             // The kernel's, when this was written.
  std::vector<ByteRange> present;  // In order, not touching; at most kResumeRangesMax.
};

inline constexpr std::size_t kResumeRangesMax = 64;
inline constexpr std::size_t kResumeRecordBytes = 4096;

// Exactly kResumeRecordBytes bytes, so that one write replaces a record. Ranges beyond the most
// that a record holds are left out.
std::string EncodeResumeRecord(const ResumeRecord& record);

// InvalidArgument says what is wrong. What is returned is as the struct says, within its size.
absl::StatusOr<ResumeRecord> ParseResumeRecord(std::string_view bytes);

}  // namespace ncn::transfer
