#include "reference/registry_service.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "inference/subnet.h"
#include "reference/file_streams.h"
#include "reference/validation.h"
#include "signing/subnet_signature.h"
#include "wire/channel.h"
#include "wire/codec.h"
#include "wire/text.h"

namespace ncn::reference {
namespace {

using grpc::ServerUnaryReactor;

absl::Status Overloaded() {
  return absl::ResourceExhaustedError("the registry is overloaded; try again later");
}

absl::Status Starting() { return absl::UnavailableError("the registry is starting"); }

// Answers a call with what `handle` says, on a worker.
template <typename F>
ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, Workers& workers, F handle) {
  ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool posted = workers.Post(
      [reactor, handle = std::move(handle)]() mutable { reactor->Finish(wire::ToGrpc(handle())); });
  if (!posted) reactor->Finish(wire::ToGrpc(Overloaded()));
  return reactor;
}

// gRPC made the message for this call alone and drops it unread; moving saves a copy.
template <typename Message>
Message&& Taken(const Message* message) {
  return std::move(*const_cast<Message*>(message));
}

std::string AuthorityOf(const grpc::CallbackServerContext& context) {
  const grpc::string_ref authority = context.ExperimentalGetAuthority();
  return {authority.data(), authority.size()};
}

// The host of "ipv4:1.2.3.4:5", "ipv6:%5B::1%5D:5" or "unix:…".
std::string PeerHost(const grpc::CallbackServerContext& context) {
  const std::string peer = context.peer();
  return peer.substr(0, peer.rfind(':'));
}

bool IsLoopbackPeer(const std::string& host) {
  return host.starts_with("ipv4:127.") || host == "ipv6:%5B::1%5D" || host == "ipv6:[::1]" ||
         host.starts_with("unix");
}

absl::Status CheckSha256(const std::string& sha256) {
  if (inference::IsSha256(sha256)) return absl::OkStatus();
  return absl::InvalidArgumentError("sha256 is not 64 lower-case hexadecimal digits");
}

}  // namespace

RegistryService::RegistryService(const Options& options, const Parts& parts)
    : options_(options),
      parts_(parts),
      transfers_(options.transfers_max, options.transfer_idle_max, parts.clock) {}

void RegistryService::Open(std::vector<std::string> names, std::string http_base,
                           bool http_is_local) {
  authority_.emplace(std::move(names));
  http_base_ = std::move(http_base);
  http_is_local_ = http_is_local;
  open_ = true;
}

ServerUnaryReactor* RegistryService::RegisterNode(Context* context,
                                                  const v2::RegisterNodeRequest* request,
                                                  v2::RegisterNodeResponse* response) {
  return Answer(context, parts_.workers,
                [this, request, response, name = AuthorityOf(*context), host = PeerHost(*context)] {
                  if (!open_) return Starting();
                  return parts_.nodes.Register(*authority_, name, host, Taken(request), response);
                });
}

ServerUnaryReactor* RegistryService::UpdateNodeHeartbeat(
    Context* context, const v2::UpdateNodeHeartbeatRequest* request,
    v2::UpdateNodeHeartbeatResponse* response) {
  return Answer(context, parts_.workers, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::uint32_t subnet_id, parts_.nodes.Heartbeat(Taken(request)));
    response->set_subnet_version(parts_.records.Version(subnet_id));
    return absl::OkStatus();
  });
}

ServerUnaryReactor* RegistryService::DeregisterNode(Context* context,
                                                    const v2::DeregisterNodeRequest* request,
                                                    v2::DeregisterNodeResponse* /*response*/) {
  return Answer(context, parts_.workers,
                [this, request] { return parts_.nodes.Deregister(request->registration_token()); });
}

ServerUnaryReactor* RegistryService::DiscoverNodes(Context* context,
                                                   const v2::DiscoverNodesRequest* request,
                                                   v2::DiscoverNodesResponse* response) {
  return Answer(context, parts_.workers, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const wire::NodeQuery query, wire::Decode(Taken(request)));
    wire::Encode(parts_.nodes.Discover(query), response);
    return absl::OkStatus();
  });
}

ServerUnaryReactor* RegistryService::RequestPreprocessingValidation(
    Context* context, const v2::RequestPreprocessingValidationRequest* request,
    v2::ValidationVerdict* response) {
  return Answer(context, parts_.workers, [request, response] {
    *response = ValidateRequest(*request);
    return absl::OkStatus();
  });
}

ServerUnaryReactor* RegistryService::RequestCompletionValidation(
    Context* context, const v2::RequestCompletionValidationRequest* request,
    v2::ValidationVerdict* response) {
  return Answer(context, parts_.workers, [request, response] {
    *response = ValidateCompletion(Taken(request));
    return absl::OkStatus();
  });
}

ServerUnaryReactor* RegistryService::GetSubnet(Context* context,
                                               const v2::GetSubnetRequest* request,
                                               v2::Subnet* response) {
  return Answer(context, parts_.workers,
                [this, request, response, authority = AuthorityOf(*context),
                 from_here = IsLoopbackPeer(PeerHost(*context))]() -> absl::Status {
                  if (!open_) return Starting();
                  ASSIGN_OR_RETURN(*response, parts_.records.Get(request->subnet_id()));
                  AddSources(authority, from_here, *response);
                  return absl::OkStatus();
                });
}

void RegistryService::AddSources(const std::string& authority, bool from_here, v2::Subnet& subnet) {
  const std::string& http = http_is_local_ && !from_here ? std::string() : http_base_;
  std::size_t bytes = subnet.ByteSizeLong();
  const auto add = [&](v2::ModelFile& file, const std::string& base) {
    // Each source has a tag and a length, and makes the lengths around it longer.
    const std::size_t more = base.size() + file.sha256().size() + 16;
    if (base.empty() || bytes + more > inference::kSubnetMetadataBytesMax ||
        static_cast<std::size_t>(file.sources_size()) >= inference::kFileSourcesMax) {
      return;
    }
    bytes += more;
    file.add_sources(base + file.sha256());
  };
  const std::string grpc_base =
      authority.empty() ? std::string() : base::StrCat("grpc://", authority, "/");
  for (v2::SubnetModel& model : *subnet.mutable_models()) {
    for (v2::ModelFile& file : *model.mutable_files()) {
      if (!parts_.files.Has(file.sha256())) continue;
      add(file, http);
      add(file, grpc_base);
    }
  }
}

ServerUnaryReactor* RegistryService::ListSubnets(Context* context,
                                                 const v2::ListSubnetsRequest* request,
                                                 v2::ListSubnetsResponse* response) {
  return Answer(context, parts_.workers, [this, request, response]() -> absl::Status {
    const std::size_t limit = request->limit() == 0
                                  ? options_.list_max
                                  : std::min<std::size_t>(request->limit(), options_.list_max);
    ASSIGN_OR_RETURN(std::vector<v2::Subnet> subnets,
                     parts_.records.List(request->after_subnet_id(), limit));
    for (v2::Subnet& subnet : subnets) response->add_subnets()->Swap(&subnet);
    return absl::OkStatus();
  });
}

ServerUnaryReactor* RegistryService::CreateSubnet(Context* context,
                                                  const v2::CreateSubnetRequest* request,
                                                  v2::Subnet* response) {
  return Answer(context, parts_.workers, [this, request, response] {
    return Create(std::move(*Taken(request).mutable_subnet()), response);
  });
}

ServerUnaryReactor* RegistryService::UpdateSubnet(Context* context,
                                                  const v2::UpdateSubnetRequest* request,
                                                  v2::Subnet* response) {
  return Answer(context, parts_.workers, [this, request, response] {
    return Update(std::move(*Taken(request).mutable_subnet()), response);
  });
}

namespace {

// A subnet that its owner has signed, with the owner in the form of EIP-55.
absl::StatusOr<inference::Subnet> SignedSubnet(v2::Subnet&& message) {
  if (message.ByteSizeLong() > inference::kSubnetMetadataBytesMax) {
    return absl::InvalidArgumentError(
        base::StrCat("the metadata has ", message.ByteSizeLong(), " bytes; at most ",
                     inference::kSubnetMetadataBytesMax, " are allowed"));
  }
  ASSIGN_OR_RETURN(inference::Subnet subnet, wire::Decode(std::move(message)));
  ASSIGN_OR_RETURN(const auto owner, signing::VerifySubnet(subnet));
  subnet.owner_address = owner.ToString();
  return subnet;
}

}  // namespace

absl::Status RegistryService::Create(v2::Subnet&& message, v2::Subnet* stored) {
  ASSIGN_OR_RETURN(const inference::Subnet subnet, SignedSubnet(std::move(message)));
  if (subnet.version != 1) {
    return absl::InvalidArgumentError(
        base::StrCat("a new subnet has version 1, not ", subnet.version));
  }
  const auto& owners = options_.owners;
  if (!owners.empty() &&
      std::find(owners.begin(), owners.end(), subnet.owner_address) == owners.end()) {
    return absl::PermissionDeniedError(
        base::StrCat(subnet.owner_address,
                     " may create no subnets here; the registry's operator can allow it "
                     "with --owner"));
  }
  RETURN_IF_ERROR(parts_.records.Create(subnet));
  wire::Encode(subnet, stored);
  return absl::OkStatus();
}

absl::Status RegistryService::Update(v2::Subnet&& message, v2::Subnet* stored) {
  ASSIGN_OR_RETURN(const inference::Subnet subnet, SignedSubnet(std::move(message)));
  RETURN_IF_ERROR(parts_.records.Update(subnet, subnet.owner_address));
  wire::Encode(subnet, stored);
  return absl::OkStatus();
}

ServerUnaryReactor* RegistryService::StatFile(Context* context, const v2::StatFileRequest* request,
                                              v2::StatFileResponse* response) {
  return Answer(context, parts_.workers, [this, request, response]() -> absl::Status {
    RETURN_IF_ERROR(CheckSha256(request->sha256()));
    const FileDepot::Holding holding = parts_.files.Stat(request->sha256());
    response->set_bytes_held(holding.bytes_held);
    response->set_complete(holding.complete);
    return absl::OkStatus();
  });
}

grpc::ServerWriteReactor<v2::FileChunk>* RegistryService::DownloadFile(
    Context* context, const v2::DownloadFileRequest* request) {
  if (const absl::Status status = CheckSha256(request->sha256()); !status.ok()) {
    return RefuseDownload(status);
  }
  auto place = transfers_.Enter(*context);
  if (place == nullptr) return RefuseDownload(Overloaded());
  auto file = parts_.files.Get(request->sha256());
  if (!file.ok()) return RefuseDownload(file.status());
  const std::uint64_t size = file->size_bytes;
  if (request->offset() > size) {
    return RefuseDownload(absl::OutOfRangeError(
        base::StrCat("offset ", request->offset(), " is beyond the file's ", size, " bytes")));
  }
  const std::uint64_t rest = size - request->offset();
  const std::uint64_t length =
      request->length() == 0 ? rest : std::min<std::uint64_t>(request->length(), rest);
  return SendFile(*std::move(file), request->offset(), request->offset() + length,
                  parts_.file_workers, std::move(place));
}

absl::StatusOr<std::unique_ptr<FileDepot::Upload>> RegistryService::BeginUpload(
    const v2::UploadHeader& header) {
  RETURN_IF_ERROR(CheckSha256(header.sha256()));
  if (header.size_bytes() > inference::kFileBytesMax) {
    return absl::InvalidArgumentError(base::StrCat("the file has ", header.size_bytes(),
                                                   " bytes; at most ", inference::kFileBytesMax,
                                                   " are allowed"));
  }
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(parts_.clock.WallNow().time_since_epoch());
  const std::chrono::seconds left =
      std::chrono::seconds(std::clamp<std::int64_t>(header.expires_seconds(), 0, 1LL << 40)) - now;
  if (left.count() < 0) {
    return absl::PermissionDeniedError(
        "the leave to upload has expired; sign a new one, and look at the clocks");
  }
  if (left > options_.permit_life_max) {
    return absl::PermissionDeniedError(base::StrCat("the leave to upload holds for more than ",
                                                    options_.permit_life_max.count(), " seconds"));
  }
  ASSIGN_OR_RETURN(const auto signer,
                   signing::RecoverFileUploadSigner({.subnet_id = header.subnet_id(),
                                                     .sha256 = header.sha256(),
                                                     .size_bytes = header.size_bytes(),
                                                     .expires_seconds = header.expires_seconds()},
                                                    header.owner_signature()));
  ASSIGN_OR_RETURN(const std::string owner, parts_.records.Owner(header.subnet_id()));
  if (signer.ToString() != owner) {
    return absl::PermissionDeniedError(
        base::StrCat("subnet ", header.subnet_id(), " belongs to ", owner,
                     ", who did not sign this upload; it was ", signer.ToString(),
                     ", or something else was signed"));
  }
  return parts_.files.Begin(header.sha256(), header.size_bytes(), header.offset());
}

grpc::ServerReadReactor<v2::UploadFileRequest>* RegistryService::UploadFile(
    Context* context, v2::StatFileResponse* response) {
  auto place = transfers_.Enter(*context);
  if (place == nullptr) return RefuseUpload(Overloaded());
  return ReceiveFile([this](const v2::UploadHeader& header) { return BeginUpload(header); },
                     response, parts_.file_workers, std::move(place));
}

}  // namespace ncn::reference
