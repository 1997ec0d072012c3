#include "transfer/file_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/errno_status.h"
#include "base/strings.h"
#include "transfer/beneath.h"

namespace ncn::transfer {
namespace {

constexpr std::size_t kChunkBytes = 256 * 1024;

absl::StatusOr<base::UniqueFd> OpenAllowed(const std::string& path,
                                           const std::vector<std::filesystem::path>& folders) {
  for (const std::filesystem::path& folder : folders) {
    std::string prefix = folder.lexically_normal().native();
    if (!prefix.ends_with('/')) prefix += '/';
    if (!path.starts_with(prefix)) continue;
    const base::UniqueFd folder_fd(::open(prefix.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder_fd.valid()) return base::ErrnoStatus(errno, prefix);
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    return OpenBeneath(folder_fd.get(), path.substr(prefix.size()), O_RDONLY | O_NONBLOCK);
  }
  return absl::PermissionDeniedError(
      folders.empty() ? "no folder is open to file:// sources"
                      : "lies outside of the folders that are open to file:// sources");
}

ReadEnd GiveUp(absl::Status status) {
  return {.kind = ReadEnd::Kind::kGiveUp, .status = std::move(status)};
}

}  // namespace

ReadEnd ReadFileRange(const std::string& path, const std::vector<std::filesystem::path>& folders,
                      const RangeRequest& request, const ByteSink& sink,
                      const std::stop_token& stop) {
  absl::StatusOr<base::UniqueFd> fd = OpenAllowed(path, folders);
  if (!fd.ok()) return GiveUp(fd.status());
  struct stat info;
  if (::fstat(fd->get(), &info) != 0) return GiveUp(base::ErrnoStatus(errno, "fstat"));
  if (!S_ISREG(info.st_mode)) {
    return GiveUp(absl::PermissionDeniedError("is not a regular file"));
  }
  if (static_cast<std::uint64_t>(info.st_size) != request.size_bytes) {
    return GiveUp(absl::DataLossError(
        base::StrCat("has ", info.st_size, " bytes, expected ", request.size_bytes)));
  }
  std::string chunk(kChunkBytes, '\0');
  std::uint64_t offset = request.offset;
  const std::uint64_t end = request.offset + request.length;
  while (offset < end) {
    if (stop.stop_requested()) {
      return {.kind = ReadEnd::Kind::kRetry, .status = absl::CancelledError("stopped")};
    }
    const std::size_t want = std::min<std::uint64_t>(chunk.size(), end - offset);
    const ssize_t got = ::pread(fd->get(), chunk.data(), want, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return GiveUp(base::ErrnoStatus(errno, "read"));
    if (got == 0) return GiveUp(absl::DataLossError("became shorter while it was read"));
    absl::Status taken = sink({chunk.data(), static_cast<std::size_t>(got)});
    if (!taken.ok()) return {.kind = ReadEnd::Kind::kSinkFailed, .status = std::move(taken)};
    offset += static_cast<std::uint64_t>(got);
  }
  return {};
}

}  // namespace ncn::transfer
