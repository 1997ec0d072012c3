#include "reference/registered_nodes.h"

#include <algorithm>
#include <utility>

#include "base/hex.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "signing/address.h"
#include "wire/channel.h"
#include "wire/codec.h"

namespace ncn::reference {
namespace {

constexpr std::size_t kNoncesMax = 10000;
constexpr std::chrono::seconds kNonceAgeMax{60};
constexpr std::chrono::seconds kWindow{60};
constexpr std::size_t kHostsMax = 10000;
constexpr std::size_t kEndpointBytesMax = 300;
// 10,000 models with the longest names, as a gateway hears of them.
constexpr std::size_t kNodeBytesMax = 2 << 20;
constexpr std::size_t kAnswerBytesMax = 8 << 20;

absl::Status RegisterAgain() {
  return absl::UnauthenticatedError("the registration token is not known; register again");
}

std::string TokenHash(std::string_view token) {
  return std::string(base::AsBytes(base::Sha256(token)));
}

std::int64_t UnixSeconds(const base::Clock& clock) {
  return std::chrono::duration_cast<std::chrono::seconds>(clock.WallNow().time_since_epoch())
      .count();
}

bool Matches(const wire::DiscoveredNode& node, const wire::NodeQuery& query) {
  if (query.subnet_id != 0 && node.info.subnet_id != query.subnet_id) return false;
  if (query.role && node.role != *query.role) return false;
  const auto& models = node.info.supported_models;
  return query.model.empty() ||
         std::find(models.begin(), models.end(), query.model) != models.end();
}

std::string Serialized(const wire::DiscoveredNode& node) {
  v2::DiscoverNodesResponse list;
  wire::Encode(std::vector<wire::DiscoveredNode>{node}, &list);
  return list.SerializeAsString();
}

absl::Status CheckSize(const v2::NodeInfo& info) {
  if (info.ByteSizeLong() <= kNodeBytesMax) return absl::OkStatus();
  return absl::InvalidArgumentError(base::StrCat(
      "info has ", info.ByteSizeLong(), " bytes; at most ", kNodeBytesMax, " are allowed"));
}

// What a node says of itself, checked.
absl::StatusOr<wire::DiscoveredNode> Described(v2::RegisterNodeRequest&& request) {
  RETURN_IF_ERROR(CheckSize(request.info()));
  ASSIGN_OR_RETURN(wire::NodeInfo info, wire::Decode(std::move(*request.mutable_info())));
  ASSIGN_OR_RETURN(const auto address, signing::EthereumAddress::Parse(info.address));
  info.address = address.ToString();
  if (!request.endpoint().empty()) {
    if (request.endpoint().size() > kEndpointBytesMax) {
      return absl::InvalidArgumentError("the endpoint is too long");
    }
    RETURN_IF_ERROR(wire::ParseEndpoint(request.endpoint()).status());
  }
  return wire::DiscoveredNode{.info = std::move(info),
                              .role = wire::DecodeRole(request.role()),
                              .endpoint = std::move(*request.mutable_endpoint())};
}

}  // namespace

RegisteredNodes::RegisteredNodes(const Options& options, RegistryRecords& records,
                                 const base::Clock& clock)
    : options_(options), records_(records), clock_(clock) {}

absl::Status RegisteredNodes::Load() {
  ASSIGN_OR_RETURN(std::vector<NodeRecord> nodes, records_.Nodes());
  std::lock_guard lock(mutex_);
  for (NodeRecord& record : nodes) {
    v2::DiscoverNodesResponse list;
    if (!list.ParseFromString(record.node)) continue;
    auto decoded = wire::Decode(std::move(list));
    if (!decoded.ok() || decoded->size() != 1) continue;
    nodes_[record.address] = {std::move(decoded->front()), clock_.SteadyNow(), record.token_hash,
                              record.node.size()};
    bytes_ += record.node.size();
    addresses_[record.token_hash] = record.address;
  }
  return absl::OkStatus();
}

bool RegisteredNodes::MayRegister(const std::string& host, base::SteadyTime now) {
  if (windows_.size() >= kHostsMax && !windows_.contains(host)) return false;
  Window& window = windows_[host];
  if (window.count == 0 || now - window.begin > kWindow) window = {now, 0};
  return ++window.count <= options_.registrations_per_minute_max;
}

absl::Status RegisteredNodes::CheckRoom(const std::string& address, std::size_t bytes) const {
  const auto found = nodes_.find(address);
  if (found == nodes_.end() && nodes_.size() >= options_.nodes_max) {
    return absl::ResourceExhaustedError("the registry has too many nodes");
  }
  const std::size_t others = bytes_ - (found == nodes_.end() ? 0 : found->second.bytes);
  if (others + bytes <= options_.bytes_max) return absl::OkStatus();
  return absl::ResourceExhaustedError("the nodes of the registry say too much of themselves");
}

absl::Status RegisteredNodes::Challenge(const NodeAuthority& authority, const std::string& host,
                                        v2::RegisterNodeResponse* response) {
  wire::Challenge challenge = authority.NewChallenge();
  std::lock_guard lock(mutex_);
  const base::SteadyTime now = clock_.SteadyNow();
  if (!MayRegister(host, now) || nonces_.size() >= kNoncesMax) {
    return absl::ResourceExhaustedError("too many registrations at once; try again in a minute");
  }
  nonces_.emplace(challenge.nonce, now);
  response->set_nonce(std::move(challenge.nonce));
  response->set_registry(std::move(challenge.gateway));
  return absl::OkStatus();
}

absl::Status RegisteredNodes::Register(const NodeAuthority& authority, const std::string& name,
                                       const std::string& host, v2::RegisterNodeRequest&& request,
                                       v2::RegisterNodeResponse* response) {
  if (request.nonce().empty()) return Challenge(authority, host, response);
  {
    std::lock_guard lock(mutex_);
    if (nonces_.erase(request.nonce()) == 0) {
      return absl::UnauthenticatedError("the nonce is not known or was used; ask for a new one");
    }
  }
  RETURN_IF_ERROR(authority.Verify(request.nonce(), name, wire::kProtocolVersion,
                                   request.info().address(), request.wallet_proof()));
  ASSIGN_OR_RETURN(wire::DiscoveredNode node, Described(std::move(request)));
  node.last_seen_seconds = UnixSeconds(clock_);
  const std::string token = base::HexEncode(RandomBytes());
  const std::string address = node.info.address;
  const std::string serialized = Serialized(node);
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckRoom(address, serialized.size()));
  const std::string token_hash = TokenHash(token);
  RETURN_IF_ERROR(records_.Put({address, token_hash, serialized}));
  Forget(address);
  addresses_[token_hash] = address;
  nodes_[address] = {std::move(node), clock_.SteadyNow(), token_hash, serialized.size()};
  bytes_ += serialized.size();
  response->set_registration_token(token);
  response->set_time_to_live_seconds(static_cast<std::uint32_t>(options_.time_to_live.count()));
  return absl::OkStatus();
}

absl::StatusOr<std::uint32_t> RegisteredNodes::Heartbeat(v2::UpdateNodeHeartbeatRequest&& request) {
  RETURN_IF_ERROR(CheckSize(request.info()));
  const std::size_t bytes = request.info().ByteSizeLong();
  ASSIGN_OR_RETURN(wire::NodeInfo info, wire::Decode(std::move(*request.mutable_info())));
  std::lock_guard lock(mutex_);
  const auto found = addresses_.find(TokenHash(request.registration_token()));
  if (found == addresses_.end()) return RegisterAgain();
  RETURN_IF_ERROR(CheckRoom(found->second, bytes));
  Node& node = nodes_[found->second];
  bytes_ += bytes - std::exchange(node.bytes, bytes);
  info.address = found->second;  // A heartbeat proves the token, and nothing of another wallet.
  node.described.info = std::move(info);
  node.described.last_seen_seconds = UnixSeconds(clock_);
  node.heard = clock_.SteadyNow();
  return node.described.info.subnet_id;
}

void RegisteredNodes::Forget(const std::string& address) {
  const auto found = nodes_.find(address);
  if (found == nodes_.end()) return;
  addresses_.erase(found->second.token_hash);
  bytes_ -= found->second.bytes;
  nodes_.erase(found);
}

absl::Status RegisteredNodes::Deregister(const std::string& token) {
  std::lock_guard lock(mutex_);
  const auto found = addresses_.find(TokenHash(token));
  if (found == addresses_.end()) return RegisterAgain();
  const std::string address = found->second;
  Forget(address);
  return records_.RemoveNode(address);
}

std::vector<wire::DiscoveredNode> RegisteredNodes::Discover(const wire::NodeQuery& query) {
  const std::size_t limit = query.limit == 0
                                ? options_.answer_max
                                : std::min<std::size_t>(query.limit, options_.answer_max);
  std::lock_guard lock(mutex_);
  const base::SteadyTime now = clock_.SteadyNow();
  std::vector<wire::DiscoveredNode> found;
  std::size_t bytes = 0;
  for (const auto& [address, node] : nodes_) {
    if (found.size() >= limit || bytes > kAnswerBytesMax) break;
    if (now - node.heard > options_.time_to_live || !Matches(node.described, query)) continue;
    found.push_back(node.described);
    for (const std::string& model : node.described.info.supported_models) bytes += model.size() + 8;
  }
  return found;
}

void RegisteredNodes::Tick() {
  std::lock_guard lock(mutex_);
  const base::SteadyTime now = clock_.SteadyNow();
  std::erase_if(nonces_, [&](const auto& entry) { return now - entry.second > kNonceAgeMax; });
  std::erase_if(windows_, [&](const auto& entry) { return now - entry.second.begin > kWindow; });
  std::vector<std::string> silent;
  for (const auto& [address, node] : nodes_) {
    if (now - node.heard > options_.time_to_live) silent.push_back(address);
  }
  for (const std::string& address : silent) {
    Forget(address);
    records_.RemoveNode(address).IgnoreError();  // It is forgotten again after a restart.
  }
}

}  // namespace ncn::reference
