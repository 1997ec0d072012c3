#include "sync/registry_chunks.h"

#include "base/status_macros.h"
#include "base/strings.h"
#include "inference/subnet.h"
#include "wire/channel.h"

namespace ncn::sync {

absl::Status RegistryChunks::Read(const std::string& source, std::uint64_t offset,
                                  std::uint64_t length, const transfer::ByteSink& sink,
                                  std::stop_token stop) {
  constexpr std::string_view kScheme = "grpc://";
  const std::string_view text = source;
  const std::size_t slash = text.rfind('/');
  if (!text.starts_with(kScheme) || slash == std::string_view::npos || slash < kScheme.size() ||
      !inference::IsSha256(text.substr(slash + 1))) {
    return absl::InvalidArgumentError("expected grpc://HOST:PORT/SHA256");
  }
  const std::string_view authority = text.substr(kScheme.size(), slash - kScheme.size());
  for (const auto& registry : registries_) {
    const absl::StatusOr<wire::Endpoint> endpoint = wire::ParseEndpoint(registry->address());
    if (endpoint.ok() && endpoint->Authority() == authority) {
      return registry->Download(text.substr(slash + 1), offset, length, sink, stop);
    }
  }
  return absl::FailedPreconditionError(
      base::StrCat(authority, " is none of the registries of --registry-addr"));
}

}  // namespace ncn::sync
