// Whatever bytes arrive: no crash, and what is accepted encodes to what is accepted again,
// unchanged.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "ncn/v2/gateway_client.pb.h"
#include "ncn/v2/gateway_compute.pb.h"
#include "wire/channel.h"
#include "wire/codec.h"

namespace {

using namespace ncn;  // NOLINT(google-build-using-namespace)

constexpr inference::RequestLimits kLimits{.input_bytes_max = 1 << 16};

absl::StatusOr<wire::NodeMessage> DecodeAs(v2::NodeMessage&& message) {
  return wire::Decode(std::move(message));
}
absl::StatusOr<wire::GatewayMessage> DecodeAs(v2::GatewayMessage&& message) {
  return wire::Decode(std::move(message), kLimits);
}
absl::StatusOr<wire::TaskUpdate> DecodeAs(v2::TaskUpdate&& message) {
  return wire::Decode(std::move(message));
}

template <typename Proto>
void Check(const std::string& bytes) {
  Proto message;
  if (!message.ParseFromString(bytes)) return;
  const auto first = DecodeAs(std::move(message));
  if (!first.ok()) return;
  Proto encoded;
  wire::Encode(*first, &encoded);
  const std::string once = encoded.SerializeAsString();
  const auto second = DecodeAs(std::move(encoded));
  if (!second.ok()) std::abort();
  Proto again;
  wire::Encode(*second, &again);
  if (again.SerializeAsString() != once) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 4) {
    case 0:
      Check<v2::NodeMessage>(bytes);
      break;
    case 1:
      Check<v2::GatewayMessage>(bytes);
      break;
    case 2:
      Check<v2::TaskUpdate>(bytes);
      break;
    default:
      if (const auto endpoint = wire::ParseEndpoint(bytes); endpoint.ok()) {
        if (!wire::ParseEndpoint(endpoint->Authority()).ok()) std::abort();
      }
  }
  return 0;
}
