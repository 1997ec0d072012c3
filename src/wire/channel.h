#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace grpc {
class Channel;
class ServerBuilder;
class Status;
}  // namespace grpc

namespace ncn::wire {

// What a message may hold besides a payload: ids, attestation, record, framing.
inline constexpr std::size_t kMessageOverheadBytes = 1 << 20;

// Limits and keepalive of a connection; both sides use the same, so that no server takes a client's
// pings for abuse (too_many_pings).
struct ConnectionOptions {
  std::size_t payload_bytes_max = 256ULL << 20;
  std::chrono::milliseconds connect_timeout{std::chrono::seconds(10)};
  std::chrono::milliseconds keepalive_interval{std::chrono::seconds(20)};
  std::chrono::milliseconds keepalive_timeout{std::chrono::seconds(10)};
  std::filesystem::path ca_file;  // PEM; empty: the system's roots. For https only.
};

// Where a server is, as an operator writes it.
struct Endpoint {
  std::string host;  // Name, IPv4 address, or IPv6 address without brackets.
  int port = 0;      // 1 to 65535.
  bool tls = false;

  // host:port, with brackets around an IPv6 address; what HTTP/2 calls the authority.
  std::string Authority() const;
};

// Reads http://host:port, https://host:port or host:port (plaintext); a "/" at the end is ignored.
// InvalidArgument says what is wrong and shows a good one.
absl::StatusOr<Endpoint> ParseEndpoint(std::string_view address);

// A channel to `address`; does not wait for a connection. Errors of ParseEndpoint, or of reading
// the CA file.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(std::string_view address,
                                                           const ConnectionOptions& options);

// The same limits and keepalive for a server.
void ApplyToServer(const ConnectionOptions& options, grpc::ServerBuilder& builder);

// gRPC status ⇄ absl status; the codes are the same, the message goes along.
absl::Status FromGrpc(const grpc::Status& status);
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace ncn::wire
