#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "transfer/chunk_source.h"

namespace ncn::transfer {

// What part of a file is asked for.
struct RangeRequest {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t size_bytes = 0;  // Of the whole file, as it was promised.
};

// How an attempt to read a range ended.
struct ReadEnd {
  enum class Kind {
    kComplete,    // The sink has all of it.
    kShort,       // The source answered with less than was asked for, properly; ask for the rest.
    kNoRanges,    // The source does not serve ranges: ask for the whole file. HTTP only.
    kSinkFailed,  // `status` is what the sink returned.
    kRetry,       // May pass.
    kGiveUp,      // This source will not have the file.
  };
  Kind kind = Kind::kComplete;
  absl::Status status;                                 // Unless complete: why.
  std::optional<std::chrono::milliseconds> wait = {};  // Of kRetry: what the source asks for.
};

}  // namespace ncn::transfer
