#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "transfer/downloader.h"
#include "transfer/ip_address.h"

namespace ncn::transfer {

// Where a file may be got from, checked as far as that goes without asking anybody.
struct SourceAddress {
  enum class Kind { kHttp, kFile, kChunks };
  Kind kind = Kind::kHttp;
  std::string location;   // The URL to ask, the decoded path to open, or what the reader is given.
  std::string printable;  // For messages: without its query, which may hold a secret.
  ChunkSource* reader = nullptr;  // Of kChunks.
};

// Errors say what is wrong with `source` without repeating it; see PrintableSource.
absl::StatusOr<SourceAddress> ParseSource(const std::string& source,
                                          const DownloaderOptions& options);

// An address as messages may show it: no query or fragment, no user, nothing that is not printable
// ASCII, at most 200 characters.
std::string PrintableSource(std::string_view source);

// Whether `url` may be asked: https, or http to this machine; no user; no written-out address that
// CheckAddress refuses.
absl::Status CheckHttpUrl(const std::string& url, bool allow_private_addresses);

// The absolute URL that an answer's `location` leads to from `url`, if one may follow it.
absl::StatusOr<std::string> ResolveRedirect(const std::string& url, const std::string& location,
                                            bool allow_private_addresses);

// Whether a connection of this scheme may lead to an address of this kind. `printed` is for the
// message.
absl::Status CheckAddress(bool https, AddressKind kind, std::string_view printed,
                          bool allow_private_addresses);

}  // namespace ncn::transfer
