#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace ncn::sync {

// What became of one model.
struct ModelOutcome {
  enum class Kind {
    kKept,       // It was there, in this version.
    kAdopted,    // It was there already, put by somebody else, and is what the subnet wants.
    kInstalled,  // Fetched.
    kRestored,   // An old version that was still kept.
    kRemoved,    // No longer the subnet's.
    kSkipped,    // Not for this machine; `status` says why.
    kFailed,     // `status` says why. What was there before still is.
  };
  Kind kind = Kind::kKept;
  std::string model;
  std::string version;
  std::uint64_t size_bytes = 0;
  absl::Status status;
};

// "kept", "adopted", "installed", "restored", "removed", "skipped", "failed".
std::string_view Name(ModelOutcome::Kind kind);

// One line: "bark_semantic 2: installed (1.2 GiB)", "… failed: why".
std::string ToText(const ModelOutcome& outcome);

}  // namespace ncn::sync
