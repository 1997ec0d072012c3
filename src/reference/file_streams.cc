#include "reference/file_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/errno_status.h"
#include "base/strings.h"
#include "wire/channel.h"

namespace ncn::reference {
namespace {

constexpr std::uint64_t kChunkBytesMax = 1 << 20;

grpc::Status Overloaded() {
  return {grpc::StatusCode::RESOURCE_EXHAUSTED, "the registry is overloaded; try again later"};
}

class Download final : public grpc::ServerWriteReactor<v2::FileChunk> {
 public:
  Download(FileDepot::OpenFile file, std::uint64_t offset, std::uint64_t end, Workers& workers,
           std::unique_ptr<Transfers::Place> place)
      : file_(std::move(file)),
        offset_(offset),
        end_(end),
        workers_(workers),
        place_(std::move(place)) {
    ::posix_fadvise(file_.fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    Next();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Finish({grpc::StatusCode::CANCELLED, "the peer is gone"});
    place_->Touch();
    Next();
  }
  void OnDone() override { delete this; }

 private:
  void Next() {
    if (offset_ >= end_) return Finish(grpc::Status::OK);
    if (!workers_.Post([this] { SendChunk(); })) Finish(Overloaded());
  }

  void SendChunk() {
    std::string* data = chunk_.mutable_data();
    data->resize(std::min(kChunkBytesMax, end_ - offset_));
    const ssize_t got =
        ::pread(file_.fd.get(), data->data(), data->size(), static_cast<off_t>(offset_));
    if (got <= 0) {
      return Finish(wire::ToGrpc(base::ErrnoStatus(got < 0 ? errno : EIO, "cannot read the file")));
    }
    data->resize(static_cast<std::size_t>(got));
    offset_ += static_cast<std::uint64_t>(got);
    place_->Touch();  // Whoever takes the next turn has taken this lock, too.
    StartWrite(&chunk_);
  }

  const FileDepot::OpenFile file_;
  std::uint64_t offset_;
  const std::uint64_t end_;
  Workers& workers_;
  const std::unique_ptr<Transfers::Place> place_;
  v2::FileChunk chunk_;
};

class Upload final : public grpc::ServerReadReactor<v2::UploadFileRequest> {
 public:
  Upload(BeginUpload begin, v2::StatFileResponse* response, Workers& workers,
         std::unique_ptr<Transfers::Place> place)
      : begin_(std::move(begin)), response_(response), workers_(workers), place_(std::move(place)) {
    StartRead(&message_);
  }

  void OnReadDone(bool ok) override {
    place_->Touch();
    if (!workers_.Post([this, ok] { ok ? Take() : End(); })) Finish(Overloaded());
  }
  void OnDone() override { delete this; }

 private:
  void Take() {
    const absl::Status status = Handle();
    if (!status.ok()) return Finish(wire::ToGrpc(status));
    place_->Touch();  // As above.
    StartRead(&message_);
  }

  absl::Status Handle() {
    if (message_.has_header() != (upload_ == nullptr)) {
      return absl::InvalidArgumentError("an upload is one header, then chunks");
    }
    if (message_.has_header()) {
      auto begun = begin_(message_.header());
      if (!begun.ok()) return begun.status();
      upload_ = *std::move(begun);
      return absl::OkStatus();
    }
    const std::string& bytes = message_.chunk().data();
    if (bytes.empty() || bytes.size() > kChunkBytesMax) {
      return absl::InvalidArgumentError(
          base::StrCat("a chunk has ", bytes.size(), " bytes instead of 1 to ", kChunkBytesMax));
    }
    return upload_->Append(bytes);
  }

  void End() {
    if (upload_ == nullptr) {
      return Finish({grpc::StatusCode::INVALID_ARGUMENT, "an upload begins with a header"});
    }
    const absl::Status status = upload_->Finish();
    const FileDepot::Holding holding = upload_->holding();
    response_->set_bytes_held(holding.bytes_held);
    response_->set_complete(holding.complete);
    Finish(wire::ToGrpc(status));
  }

  const BeginUpload begin_;
  v2::StatFileResponse* const response_;
  Workers& workers_;
  const std::unique_ptr<Transfers::Place> place_;
  std::unique_ptr<FileDepot::Upload> upload_;
  v2::UploadFileRequest message_;
};

class RefusedDownload final : public grpc::ServerWriteReactor<v2::FileChunk> {
 public:
  explicit RefusedDownload(const absl::Status& status) { Finish(wire::ToGrpc(status)); }
  void OnDone() override { delete this; }
};

class RefusedUpload final : public grpc::ServerReadReactor<v2::UploadFileRequest> {
 public:
  explicit RefusedUpload(const absl::Status& status) { Finish(wire::ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerWriteReactor<v2::FileChunk>* SendFile(FileDepot::OpenFile file, std::uint64_t offset,
                                                  std::uint64_t end, Workers& workers,
                                                  std::unique_ptr<Transfers::Place> place) {
  return new Download(std::move(file), offset, end, workers, std::move(place));
}

grpc::ServerWriteReactor<v2::FileChunk>* RefuseDownload(const absl::Status& status) {
  return new RefusedDownload(status);
}

grpc::ServerReadReactor<v2::UploadFileRequest>* ReceiveFile(
    BeginUpload begin, v2::StatFileResponse* response, Workers& workers,
    std::unique_ptr<Transfers::Place> place) {
  return new Upload(std::move(begin), response, workers, std::move(place));
}

grpc::ServerReadReactor<v2::UploadFileRequest>* RefuseUpload(const absl::Status& status) {
  return new RefusedUpload(status);
}

}  // namespace ncn::reference
