#include "wire/channel.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "absl/strings/escaping.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/server_builder.h"
#include "wire/text.h"

namespace ncn::wire {
namespace {

constexpr std::size_t kHostBytesMax = 253;  // RFC 1035.
constexpr std::size_t kCaFileBytesMax = 8 << 20;

absl::Status BadAddress(std::string_view address, std::string_view why) {
  return absl::InvalidArgumentError(base::StrCat(
      "'", absl::CHexEscape(base::ToAbsl(address.substr(0, kHostBytesMax))), "' is no address: ",
      why, "; write it like http://127.0.0.1:50051 or https://gateway.example:443"));
}

bool IsHost(std::string_view host, bool bracketed) {
  if (host.empty() || host.size() > kHostBytesMax) return false;
  if (bracketed && host.find(':') == std::string_view::npos) return false;  // IPv6 only.
  return std::all_of(host.begin(), host.end(), [&](char c) {
    const bool alphanumeric =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return bracketed ? alphanumeric || c == ':' || c == '.' || c == '%'
                     : alphanumeric || c == '.' || c == '-' || c == '_';
  });
}

int MessageBytesMax(const ConnectionOptions& options) {
  return static_cast<int>(
      std::min<std::size_t>(options.payload_bytes_max + kMessageOverheadBytes,
                            static_cast<std::size_t>(std::numeric_limits<int>::max())));
}

}  // namespace

std::string Endpoint::Authority() const {
  return host.find(':') == std::string::npos ? base::StrCat(host, ":", port)
                                             : base::StrCat("[", host, "]:", port);
}

absl::StatusOr<Endpoint> ParseEndpoint(std::string_view address) {
  Endpoint endpoint;
  std::string_view rest = address;
  if (const std::size_t scheme_end = rest.find("://"); scheme_end != std::string_view::npos) {
    const std::string_view scheme = rest.substr(0, scheme_end);
    if (scheme != "http" && scheme != "https") {
      return BadAddress(address, "only http:// and https:// are known");
    }
    endpoint.tls = scheme == "https";
    rest.remove_prefix(scheme_end + 3);
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos || rest.ends_with(']')) {
    return BadAddress(address, "the port is missing");
  }
  std::string_view host = rest.substr(0, colon);
  const std::string_view port = rest.substr(colon + 1);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (!IsHost(host, bracketed)) {
    return BadAddress(address, "the host is missing or has characters that no host has");
  }
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  if (error != std::errc() || end != port.data() + port.size() || endpoint.port < 1 ||
      endpoint.port > 65535) {
    return BadAddress(address, "the port must be a number from 1 to 65535");
  }
  endpoint.host = std::string(host);
  return endpoint;
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(std::string_view address,
                                                           const ConnectionOptions& options) {
  ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(address));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(MessageBytesMax(options));
  arguments.SetMaxSendMessageSize(MessageBytesMax(options));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS,
                   static_cast<int>(options.keepalive_interval.count()));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                   static_cast<int>(options.keepalive_timeout.count()));
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Whoever asks for a channel waits between attempts already; gRPC's own waits would add up.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // In spite of its name also the time that one attempt to connect may take, TLS included.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
                   static_cast<int>(options.connect_timeout.count()));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (endpoint.tls) {
    grpc::SslCredentialsOptions ssl;
    if (!options.ca_file.empty()) {
      ASSIGN_OR_RETURN(ssl.pem_root_certs, base::ReadFile(options.ca_file, kCaFileBytesMax));
    }
    credentials = grpc::SslCredentials(ssl);
  } else {
    credentials = grpc::InsecureChannelCredentials();
  }
  return grpc::CreateCustomChannel(endpoint.Authority(), credentials, arguments);
}

void ApplyToServer(const ConnectionOptions& options, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(MessageBytesMax(options));
  builder.SetMaxSendMessageSize(MessageBytesMax(options));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS,
                             static_cast<int>(options.keepalive_interval.count()));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             static_cast<int>(options.keepalive_timeout.count()));
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Half of what clients do, so that jitter never makes a well-behaved client look like an abuser.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             static_cast<int>(options.keepalive_interval.count() / 2));
  // Two servers on one port would each get a part of the nodes.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      base::ToAbsl(CleanText(status.error_message(), kTextBytesMax)));
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      CleanText(base::ToStd(status.message()), kTextBytesMax));
}

}  // namespace ncn::wire
