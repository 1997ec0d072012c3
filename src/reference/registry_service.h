#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "ncn/v2/p2p_registry.grpc.pb.h"
#include "reference/file_depot.h"
#include "reference/node_authority.h"
#include "reference/registered_nodes.h"
#include "reference/registry_records.h"
#include "reference/transfers.h"
#include "reference/workers.h"

namespace ncn::reference {

// P2PRegistryService over the records, the files and the nodes. gRPC's threads only hand over:
// metadata is handled by one set of workers, files by another.
class RegistryService final : public v2::P2PRegistryService::CallbackService {
 public:
  struct Options {
    std::vector<std::string> owners;  // EIP-55; who may create subnets. Empty: everybody.
    std::size_t list_max = 1000;      // Subnets in one answer.
    std::size_t transfers_max = 256;
    std::chrono::milliseconds transfer_idle_max{60000};
    std::chrono::seconds permit_life_max{24 * 3600};  // Of an upload's signature.
  };
  struct Parts {
    RegistryRecords& records;
    FileDepot& files;
    RegisteredNodes& nodes;
    Workers& workers;
    Workers& file_workers;
    const base::Clock& clock;
  };

  // The parts outlive the service.
  RegistryService(const Options& options, const Parts& parts);

  // Calls are refused as unavailable before. `http_base` is put before a file's hash to make a
  // source; empty: files are to be had by gRPC only. `http_is_local`: it is good on this machine
  // only.
  void Open(std::vector<std::string> names, std::string http_base, bool http_is_local);
  void Tick() { transfers_.Tick(); }

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;
  Unary* RegisterNode(Context* context, const v2::RegisterNodeRequest* request,
                      v2::RegisterNodeResponse* response) override;
  Unary* UpdateNodeHeartbeat(Context* context, const v2::UpdateNodeHeartbeatRequest* request,
                             v2::UpdateNodeHeartbeatResponse* response) override;
  Unary* DeregisterNode(Context* context, const v2::DeregisterNodeRequest* request,
                        v2::DeregisterNodeResponse* response) override;
  Unary* DiscoverNodes(Context* context, const v2::DiscoverNodesRequest* request,
                       v2::DiscoverNodesResponse* response) override;
  Unary* RequestPreprocessingValidation(Context* context,
                                        const v2::RequestPreprocessingValidationRequest* request,
                                        v2::ValidationVerdict* response) override;
  Unary* RequestCompletionValidation(Context* context,
                                     const v2::RequestCompletionValidationRequest* request,
                                     v2::ValidationVerdict* response) override;
  Unary* GetSubnet(Context* context, const v2::GetSubnetRequest* request,
                   v2::Subnet* response) override;
  Unary* ListSubnets(Context* context, const v2::ListSubnetsRequest* request,
                     v2::ListSubnetsResponse* response) override;
  Unary* CreateSubnet(Context* context, const v2::CreateSubnetRequest* request,
                      v2::Subnet* response) override;
  Unary* UpdateSubnet(Context* context, const v2::UpdateSubnetRequest* request,
                      v2::Subnet* response) override;
  Unary* StatFile(Context* context, const v2::StatFileRequest* request,
                  v2::StatFileResponse* response) override;
  grpc::ServerWriteReactor<v2::FileChunk>* DownloadFile(
      Context* context, const v2::DownloadFileRequest* request) override;
  grpc::ServerReadReactor<v2::UploadFileRequest>* UploadFile(
      Context* context, v2::StatFileResponse* response) override;

 private:
  absl::Status Create(v2::Subnet&& message, v2::Subnet* stored);
  absl::Status Update(v2::Subnet&& message, v2::Subnet* stored);
  absl::StatusOr<std::unique_ptr<FileDepot::Upload>> BeginUpload(const v2::UploadHeader& header);
  // Adds the registry's own sources for the files that it holds.
  void AddSources(const std::string& authority, bool from_here, v2::Subnet& subnet);

  const Options options_;
  const Parts parts_;
  Transfers transfers_;
  std::optional<NodeAuthority> authority_;  // Constant once open_, as the next two.
  std::string http_base_;
  bool http_is_local_ = false;
  std::atomic<bool> open_ = false;
};

}  // namespace ncn::reference
