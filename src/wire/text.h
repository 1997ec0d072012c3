#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace ncn::wire {

// Limits of the protocol, in bytes of a text or entries of a list.
inline constexpr std::size_t kNameBytesMax = 128;
inline constexpr std::size_t kTextBytesMax = 4096;
inline constexpr std::size_t kAttestationTextBytesMax = 64 * 1024;
inline constexpr std::size_t kListEntriesMax = 10000;

// `text` as a protobuf string can carry it and a log can show it: '?' for each byte that is no
// valid UTF-8 or a control character other than tab and newline, cut to `bytes_max` between
// characters.
std::string CleanText(std::string_view text, std::size_t bytes_max);

// InvalidArgument naming `field` when `text` is longer than `bytes_max`.
absl::Status CheckText(std::string_view field, std::string_view text, std::size_t bytes_max);

}  // namespace ncn::wire
