// The calls of RegistryClient that move files.

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "registry/registry_client.h"
#include "registry/registry_connection.h"
#include "registry/stall_watch.h"

namespace ncn::registry {
namespace {

constexpr std::size_t kChunkBytesMax = 1 << 20;

absl::Status Stalled(std::chrono::milliseconds timeout) {
  return absl::DeadlineExceededError(
      base::StrCat("the transfer stood still for ", timeout.count(), " ms"));
}

// Up to `size` bytes of the file from `offset` on; fewer only at its end.
absl::Status ReadAt(int fd, std::uint64_t offset, std::size_t size, std::string* out) {
  out->resize(size);
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got =
        ::pread(fd, out->data() + done, size - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::ErrnoStatus(errno, "cannot read the file to upload");
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  out->resize(done);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FileHolding> RegistryClient::StatFile(std::string_view sha256,
                                                     std::stop_token stop) {
  v2::StatFileRequest request;
  request.set_sha256(std::string(sha256));
  v2::StatFileResponse response;
  RETURN_IF_ERROR(connection_->Call(&Connection::Stub::StatFile, request, &response, stop));
  return FileHolding{response.bytes_held(), response.complete()};
}

absl::Status RegistryClient::Download(std::string_view sha256, std::uint64_t offset,
                                      std::uint64_t length,
                                      const std::function<absl::Status(std::string_view)>& sink,
                                      std::stop_token stop) {
  v2::DownloadFileRequest request;
  request.set_sha256(std::string(sha256));
  request.set_offset(offset);
  request.set_length(length);
  grpc::ClientContext context;
  const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
  StallWatch watch(connection_->options().stall_timeout, [&context] { context.TryCancel(); });
  watch.Begin();
  const auto reader = connection_->stub().DownloadFile(&context, request);
  std::uint64_t received = 0;
  absl::Status failed;
  v2::FileChunk chunk;
  while (failed.ok() && reader->Read(&chunk)) {
    watch.End();
    received += chunk.data().size();
    if (chunk.data().empty() || chunk.data().size() > kChunkBytesMax) {
      failed = connection_->Lie(base::StrCat("a chunk of ", chunk.data().size(), " bytes"));
    } else if (length != 0 && received > length) {
      failed =
          connection_->Lie(base::StrCat("it sends more than the ", length, " bytes asked for"));
    } else {
      failed = sink(chunk.data());
    }
    watch.Begin();
  }
  if (!failed.ok()) context.TryCancel();
  const grpc::Status status = reader->Finish();
  if (!failed.ok()) return failed;
  if (watch.gave_up()) {
    return connection_->Annotate(Stalled(connection_->options().stall_timeout));
  }
  RETURN_IF_ERROR(connection_->Explain(status, stop));
  if (length != 0 && received < length) {
    return connection_->Lie(
        base::StrCat("it sends ", received, " of the ", length, " bytes asked for"));
  }
  return absl::OkStatus();
}

absl::Status RegistryClient::Upload(
    int fd, const UploadPermit& permit,
    const std::function<void(std::uint64_t bytes_held)>& on_progress, std::stop_token stop) {
  ASSIGN_OR_RETURN(const FileHolding held, StatFile(permit.sha256, stop));
  if (held.complete) return absl::OkStatus();
  std::uint64_t offset = std::min(held.bytes_held, permit.size_bytes);
  grpc::ClientContext context;
  const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
  StallWatch watch(connection_->options().stall_timeout, [&context] { context.TryCancel(); });
  v2::StatFileResponse response;
  watch.Begin();
  const auto writer = connection_->stub().UploadFile(&context, &response);
  v2::UploadFileRequest message;
  v2::UploadHeader* header = message.mutable_header();
  header->set_subnet_id(permit.subnet_id);
  header->set_sha256(permit.sha256);
  header->set_size_bytes(permit.size_bytes);
  header->set_offset(offset);
  header->set_expires_seconds(permit.expires_seconds);
  header->set_owner_signature(permit.owner_signature);
  bool open = writer->Write(message);
  absl::Status failed;
  std::string* bytes = message.mutable_chunk()->mutable_data();
  while (open && offset < permit.size_bytes) {
    watch.End();
    failed = ReadAt(fd, offset, std::min<std::uint64_t>(kChunkBytesMax, permit.size_bytes - offset),
                    bytes);
    if (failed.ok() && bytes->empty()) {
      failed = absl::AbortedError(base::StrCat("the file to upload became shorter than the ",
                                               permit.size_bytes, " bytes that it had"));
    }
    if (!failed.ok()) break;
    watch.Begin();
    open = writer->Write(message);
    offset += bytes->size();
    if (open && on_progress) on_progress(offset);
  }
  if (failed.ok()) {
    watch.Begin();
    writer->WritesDone();
  } else {
    context.TryCancel();
  }
  const grpc::Status status = writer->Finish();
  if (!failed.ok()) return failed;
  if (watch.gave_up()) {
    return connection_->Annotate(Stalled(connection_->options().stall_timeout));
  }
  RETURN_IF_ERROR(connection_->Explain(status, stop));
  if (!response.complete()) return connection_->Lie("it took the file and does not have it");
  return absl::OkStatus();
}

}  // namespace ncn::registry
