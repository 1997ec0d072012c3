// What the launcher and the node say to one another: whatever bytes arrive, no crash, and what is
// accepted encodes to an equal message of the same bytes. No bytes are both request and report.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "sandbox/launch_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ncn::sandbox;  // NOLINT: the entry point must stand outside
  if (size > kMessageBytesMax) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto request = DecodeLaunchRequest(bytes);
  const auto report = DecodeLaunchReport(bytes);
  const auto clone = DecodeCloneRequest(bytes);
  NCN_CHECK(!clone.ok() || (!request.ok() && !report.ok() && Encode(*clone) == bytes));
  NCN_CHECK(!request.ok() || !report.ok());
  if (request.ok()) {
    const auto encoded = Encode(*request);
    NCN_CHECK(encoded.ok());
    NCN_CHECK(*encoded == bytes);
    const auto again = DecodeLaunchRequest(*encoded);
    NCN_CHECK(again.ok());
    NCN_CHECK(*again == *request);
  } else {
    NCN_CHECK(!request.status().message().empty());
  }
  if (report.ok()) {
    const std::string encoded = Encode(*report);
    NCN_CHECK(encoded == bytes);
    const auto again = DecodeLaunchReport(encoded);
    NCN_CHECK(again.ok());
    NCN_CHECK(*again == *report);
  }
  return 0;
}
