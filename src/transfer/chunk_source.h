#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace ncn::transfer {

// Takes the bytes of a range in order. An error means: stop, and return this very error.
using ByteSink = std::function<absl::Status(std::string_view bytes)>;

// Reads sources of a scheme that the downloader does not know itself. Thread-safe: several ranges
// of a source are read at once.
class ChunkSource {
 public:
  virtual ~ChunkSource() = default;

  // Gives `sink` the bytes [offset, offset + length) of `source`, an address as it was given to the
  // downloader, and returns when they are all there. Ends soon once `stop` is requested, which also
  // happens when too few bytes come.
  //   NotFound, InvalidArgument, PermissionDenied, Unauthenticated, FailedPrecondition, OutOfRange,
  //   Unimplemented, DataLoss   this source will not have the file: the next one is tried at once
  //   anything else             may pass: tried again after a pause, a bounded number of times
  virtual absl::Status Read(const std::string& source, std::uint64_t offset, std::uint64_t length,
                            const ByteSink& sink, std::stop_token stop) = 0;
};

}  // namespace ncn::transfer
