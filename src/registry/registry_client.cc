#include "registry/registry_client.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "registry/registry_connection.h"
#include "signing/subnet_signature.h"
#include "wire/codec.h"
#include "wire/session_messages.h"

namespace ncn::registry {
namespace {

constexpr std::chrono::seconds kTimeToLiveMax{24 * 3600};
constexpr std::size_t kTokenBytesMax = 4096;

}  // namespace

absl::Status RegistryClient::Connection::Annotate(const absl::Status& status) const {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      base::StrCat("registry ", address_, ": ", base::ToStd(status.message())));
}

absl::Status RegistryClient::Connection::Explain(const grpc::Status& status,
                                                 const std::stop_token& stop) const {
  const absl::Status converted = wire::FromGrpc(status);
  if (converted.ok()) return converted;
  if (stop.stop_requested()) return Annotate(absl::CancelledError("the call was stopped"));
  const std::string_view message = base::ToStd(converted.message());
  if (absl::IsDeadlineExceeded(converted)) {
    return Annotate(absl::DeadlineExceededError(base::StrCat(
        "no answer within ", options_.call_timeout.count(), " ms; is it a registry, and well?")));
  }
  // gRPC's words for what a peer sends beyond the limit that we set.
  if (absl::IsResourceExhausted(converted) && message.find("larger than max") != message.npos) {
    return Lie(base::StrCat("it answers with more than ", inference::kSubnetMetadataBytesMax >> 20,
                            " MiB"));
  }
  if (absl::IsUnavailable(converted) || absl::IsCancelled(converted)) {
    return Annotate(absl::UnavailableError(base::StrCat("cannot be reached: ", message)));
  }
  if (absl::IsUnimplemented(converted)) {
    return Annotate(absl::UnimplementedError("whoever is there is no P2PRegistryService"));
  }
  return Annotate(converted);
}

absl::Status RegistryClient::Connection::Lie(std::string_view what) const {
  return Annotate(absl::DataLossError(base::StrCat("its answer cannot be used: ", what)));
}

absl::StatusOr<std::unique_ptr<RegistryClient>> RegistryClient::Make(std::string_view address,
                                                                     const ClientOptions& options) {
  ClientOptions bounded = options;
  bounded.connection.payload_bytes_max = inference::kSubnetMetadataBytesMax;
  ASSIGN_OR_RETURN(const wire::Endpoint endpoint, wire::ParseEndpoint(address));
  ASSIGN_OR_RETURN(const auto channel, wire::MakeChannel(address, bounded.connection));
  return std::unique_ptr<RegistryClient>(new RegistryClient(
      std::make_unique<Connection>(std::string(address), endpoint.Authority(), bounded, channel)));
}

RegistryClient::RegistryClient(std::unique_ptr<Connection> connection)
    : connection_(std::move(connection)) {}
RegistryClient::~RegistryClient() = default;

const std::string& RegistryClient::address() const { return connection_->address(); }

namespace {

// The subnet in an answer, if it is the one that was meant and its signature is its owner's.
absl::StatusOr<inference::Subnet> Checked(v2::Subnet&& message, std::uint32_t subnet_id) {
  if (message.ByteSizeLong() > inference::kSubnetMetadataBytesMax) {
    return absl::DataLossError(base::StrCat("the metadata has ", message.ByteSizeLong(),
                                            " bytes; at most ", inference::kSubnetMetadataBytesMax,
                                            " are allowed"));
  }
  auto decoded = wire::Decode(std::move(message));
  if (!decoded.ok()) return absl::DataLossError(decoded.status().message());
  if (decoded->subnet_id != subnet_id) {
    return absl::DataLossError(
        base::StrCat("asked for subnet ", subnet_id, ", it gives subnet ", decoded->subnet_id));
  }
  if (!decoded->owner_signature.empty()) {
    RETURN_IF_ERROR(signing::VerifySubnet(*decoded).status());
  }
  return decoded;
}

}  // namespace

absl::StatusOr<inference::Subnet> RegistryClient::GetSubnet(std::uint32_t subnet_id,
                                                            std::stop_token stop) {
  v2::GetSubnetRequest request;
  request.set_subnet_id(subnet_id);
  v2::Subnet response;
  RETURN_IF_ERROR(connection_->Call(&Connection::Stub::GetSubnet, request, &response, stop));
  auto subnet = Checked(std::move(response), subnet_id);
  if (!subnet.ok()) return connection_->Annotate(subnet.status());
  return subnet;
}

absl::StatusOr<std::vector<inference::Subnet>> RegistryClient::ListSubnets(
    std::uint32_t after_subnet_id, std::uint32_t limit) {
  v2::ListSubnetsRequest request;
  request.set_limit(limit);
  request.set_after_subnet_id(after_subnet_id);
  v2::ListSubnetsResponse response;
  RETURN_IF_ERROR(connection_->Call(&Connection::Stub::ListSubnets, request, &response));
  std::vector<inference::Subnet> subnets;
  for (v2::Subnet& message : *response.mutable_subnets()) {
    auto subnet = wire::Decode(std::move(message));
    if (!subnet.ok()) return connection_->Lie(base::ToStd(subnet.status().message()));
    // Whoever pages by the last id would go round for ever.
    if (subnet->subnet_id <= after_subnet_id) return connection_->Lie("its list is not in order");
    after_subnet_id = subnet->subnet_id;
    subnets.push_back(*std::move(subnet));
  }
  return subnets;
}

absl::StatusOr<inference::Subnet> RegistryClient::CreateSubnet(const inference::Subnet& subnet) {
  v2::CreateSubnetRequest request;
  wire::Encode(subnet, request.mutable_subnet());
  v2::Subnet response;
  RETURN_IF_ERROR(connection_->Call(&Connection::Stub::CreateSubnet, request, &response));
  auto stored = Checked(std::move(response), subnet.subnet_id);
  if (!stored.ok()) return connection_->Annotate(stored.status());
  return stored;
}

absl::StatusOr<inference::Subnet> RegistryClient::UpdateSubnet(const inference::Subnet& subnet) {
  v2::UpdateSubnetRequest request;
  wire::Encode(subnet, request.mutable_subnet());
  v2::Subnet response;
  RETURN_IF_ERROR(connection_->Call(&Connection::Stub::UpdateSubnet, request, &response));
  auto stored = Checked(std::move(response), subnet.subnet_id);
  if (!stored.ok()) return connection_->Annotate(stored.status());
  return stored;
}

absl::StatusOr<Registration> RegistryClient::RegisterNode(const Presentation& node,
                                                          const SignChallenge& sign) {
  v2::RegisterNodeRequest request;
  wire::Encode(node.info, request.mutable_info());
  request.set_role(wire::EncodeRole(node.role));
  request.set_endpoint(node.endpoint);
  v2::RegisterNodeResponse response;
  RETURN_IF_ERROR(connection_->Call(&Connection::Stub::RegisterNode, request, &response));
  if (response.nonce().empty()) return connection_->Lie("it asks for no proof of the wallet");
  // Not the name that the registry gives itself: it may have it from another one.
  ASSIGN_OR_RETURN(std::string proof,
                   sign(response.nonce(), connection_->authority(), wire::kProtocolVersion));
  request.set_nonce(response.nonce());
  request.set_wallet_proof(std::move(proof));
  response.Clear();
  RETURN_IF_ERROR(connection_->Call(&Connection::Stub::RegisterNode, request, &response));
  const std::chrono::seconds time_to_live(response.time_to_live_seconds());
  const std::size_t token_bytes = response.registration_token().size();
  if (token_bytes == 0 || token_bytes > kTokenBytesMax || time_to_live.count() == 0) {
    return connection_->Lie("it gives no registration");
  }
  return Registration{.token = std::move(*response.mutable_registration_token()),
                      .time_to_live = std::min(time_to_live, kTimeToLiveMax)};
}

absl::StatusOr<std::uint64_t> RegistryClient::UpdateNodeHeartbeat(const std::string& token,
                                                                  const wire::NodeInfo& info) {
  v2::UpdateNodeHeartbeatRequest request;
  request.set_registration_token(token);
  wire::Encode(info, request.mutable_info());
  v2::UpdateNodeHeartbeatResponse response;
  RETURN_IF_ERROR(connection_->Call(&Connection::Stub::UpdateNodeHeartbeat, request, &response));
  return response.subnet_version();
}

absl::Status RegistryClient::DeregisterNode(const std::string& token) {
  v2::DeregisterNodeRequest request;
  request.set_registration_token(token);
  v2::DeregisterNodeResponse response;
  return connection_->Call(&Connection::Stub::DeregisterNode, request, &response);
}

absl::StatusOr<std::vector<wire::DiscoveredNode>> RegistryClient::DiscoverNodes(
    const wire::NodeQuery& query) {
  v2::DiscoverNodesRequest request;
  wire::Encode(query, &request);
  v2::DiscoverNodesResponse response;
  RETURN_IF_ERROR(connection_->Call(&Connection::Stub::DiscoverNodes, request, &response));
  auto nodes = wire::Decode(std::move(response));
  if (!nodes.ok()) return connection_->Lie(base::ToStd(nodes.status().message()));
  return nodes;
}

}  // namespace ncn::registry
