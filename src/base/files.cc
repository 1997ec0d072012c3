#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::base {

absl::StatusOr<std::string> ReadAll(int fd, std::size_t bytes_max) {
  constexpr std::size_t kChunkBytes = 4096;  // At least; a string grows by its own size.
  std::string bytes;
  struct stat info;
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0) {
    bytes.reserve(std::min(bytes_max, static_cast<std::size_t>(info.st_size)) + 1);
  } else {
    bytes.reserve(kChunkBytes);
  }
  while (true) {
    const std::size_t offset = bytes.size();
    if (bytes.capacity() == offset) bytes.reserve(offset + std::max(offset, kChunkBytes));
    const std::size_t want = std::min(bytes.capacity() - offset, bytes_max + 1 - offset);
    bytes.resize(offset + want);
    const ssize_t got = ::read(fd, bytes.data() + offset, want);
    if (got < 0 && errno == EINTR) {
      bytes.resize(offset);
      continue;
    }
    if (got < 0) return ErrnoStatus(errno, "read");
    bytes.resize(offset + static_cast<std::size_t>(got));
    if (got == 0) return bytes;
    if (bytes.size() > bytes_max) {
      return absl::ResourceExhaustedError(base::StrCat("larger than ", bytes_max, " bytes"));
    }
  }
}

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path, std::size_t bytes_max) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, path.native());
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, path.native());
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(base::StrCat(path.native(), ": not a regular file"));
  }
  absl::StatusOr<std::string> bytes = ReadAll(fd.get(), bytes_max);
  if (bytes.ok()) return bytes;
  return absl::Status(bytes.status().code(),
                      base::StrCat(path.native(), ": ", bytes.status().message()));
}

absl::Status WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, "write");
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(const std::filesystem::path& path, std::string_view bytes,
                                 unsigned mode) {
  std::filesystem::path folder = path.parent_path();
  if (folder.empty()) folder = ".";
  const std::string temporary = base::StrCat(path.native(), ".tmp.", ::getpid());
  absl::Status status = [&]() -> absl::Status {
    const UniqueFd fd(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode));
    if (!fd.valid()) return ErrnoStatus(errno, temporary);
    if (::fchmod(fd.get(), mode) != 0) return ErrnoStatus(errno, temporary);
    if (absl::Status written = WriteAll(fd.get(), bytes); !written.ok()) {
      return absl::Status(written.code(), base::StrCat(temporary, ": ", written.message()));
    }
    if (::fsync(fd.get()) != 0) return ErrnoStatus(errno, temporary);
    if (::rename(temporary.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, path.native());
    return absl::OkStatus();
  }();
  if (!status.ok()) {
    ::unlink(temporary.c_str());
    return status;
  }
  const UniqueFd folder_fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder_fd.valid() || ::fsync(folder_fd.get()) != 0) {
    return ErrnoStatus(errno, folder.native());
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> SealedMemory(const char* name, std::string_view bytes) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return ErrnoStatus(errno, "memfd_create");
  RETURN_IF_ERROR(WriteAll(fd.get(), bytes));
  if (::lseek(fd.get(), 0, SEEK_SET) != 0 ||
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) !=
          0) {
    return ErrnoStatus(errno, "seal memfd");
  }
  return fd;
}

}  // namespace ncn::base
