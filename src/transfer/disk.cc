#include "transfer/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/errno_status.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "base/unique_fd.h"

namespace ncn::transfer {

absl::Status CheckFreeSpace(int fd, std::uint64_t needed_bytes, std::uint64_t reserve_bytes) {
  struct statvfs info;
  if (::fstatvfs(fd, &info) != 0) return base::ErrnoStatus(errno, "statvfs");
  const std::uint64_t free_bytes = std::uint64_t{info.f_bavail} * info.f_frsize;
  if (needed_bytes == 0) return absl::OkStatus();
  if (free_bytes >= needed_bytes && free_bytes - needed_bytes >= reserve_bytes) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(base::StrCat("needs ", needed_bytes, " bytes of disk; ",
                                                   free_bytes, " are free, of which ",
                                                   reserve_bytes, " stay in reserve"));
}

absl::StatusOr<bool> HasContent(const std::filesystem::path& path, std::uint64_t size_bytes,
                                const std::string& sha256, const std::stop_token& stop) {
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat info;
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) ||
      static_cast<std::uint64_t>(info.st_size) != size_bytes) {
    return false;
  }
  base::Sha256Hasher hasher;
  std::vector<char> chunk(256 * 1024);
  while (!stop.stop_requested()) {
    const ssize_t got = ::read(fd.get(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) return base::AsHex(hasher.Finish()) == sha256;
    hasher.Update({chunk.data(), static_cast<std::size_t>(got)});
  }
  return absl::CancelledError("stopped");
}

absl::Status CopyToTarget(int fd, const std::string& temporary, const std::filesystem::path& target,
                          const std::stop_token& stop) {
  const absl::Status status = [&]() -> absl::Status {
    const base::UniqueFd copy(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!copy.valid()) return WriteStatus(errno, temporary);
    off_t from = 0;
    ssize_t copied = 1;
    while (copied > 0) {
      if (stop.stop_requested()) return absl::CancelledError("stopped");
      constexpr std::size_t kStepBytes = std::size_t{16} << 20;
      copied = ::copy_file_range(fd, &from, copy.get(), nullptr, kStepBytes, 0);
      if (copied < 0 && errno == EINTR) copied = 1;
    }
    if (copied < 0 || ::fsync(copy.get()) != 0) return WriteStatus(errno, temporary);
    if (::rename(temporary.c_str(), target.c_str()) != 0) {
      return base::ErrnoStatus(errno, base::StrCat("rename to ", target.native()));
    }
    return SyncFolder(target.parent_path());
  }();
  if (!status.ok()) ::unlink(temporary.c_str());
  return status;
}

absl::Status SyncFolder(const std::filesystem::path& folder) {
  const base::UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.valid() && ::fsync(fd.get()) == 0) return absl::OkStatus();
  return base::ErrnoStatus(errno, folder.native());
}

absl::Status WriteAt(int fd, std::uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return WriteStatus(errno, "write");
    bytes.remove_prefix(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return absl::OkStatus();
}

absl::Status WriteStatus(int error, std::string_view what) {
  if (error == EDQUOT || error == EFBIG) error = ENOSPC;
  return base::ErrnoStatus(error, what);
}

}  // namespace ncn::transfer
