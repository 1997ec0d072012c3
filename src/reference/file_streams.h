#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "ncn/v2/p2p_registry.grpc.pb.h"
#include "reference/file_depot.h"
#include "reference/transfers.h"
#include "reference/workers.h"

namespace ncn::reference {

// The two calls that move a file. Each is an object that gRPC's threads move along and that ends
// itself; files are read and written on `workers`, one chunk at a time, so that a peer that is slow
// holds no thread.

// Answers DownloadFile with `file`, from `offset` to before `end`.
grpc::ServerWriteReactor<v2::FileChunk>* SendFile(FileDepot::OpenFile file, std::uint64_t offset,
                                                  std::uint64_t end, Workers& workers,
                                                  std::unique_ptr<Transfers::Place> place);
grpc::ServerWriteReactor<v2::FileChunk>* RefuseDownload(const absl::Status& status);

// Answers UploadFile; `begin` decides about its header, on a worker.
using BeginUpload =
    std::function<absl::StatusOr<std::unique_ptr<FileDepot::Upload>>(const v2::UploadHeader&)>;
grpc::ServerReadReactor<v2::UploadFileRequest>* ReceiveFile(
    BeginUpload begin, v2::StatFileResponse* response, Workers& workers,
    std::unique_ptr<Transfers::Place> place);
grpc::ServerReadReactor<v2::UploadFileRequest>* RefuseUpload(const absl::Status& status);

}  // namespace ncn::reference
