#include "rewind/process_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::rewind {
namespace {

constexpr std::size_t kVectorsMax = 1024;  // IOV_MAX

absl::StatusOr<base::UniqueFd> OpenProc(pid_t pid, std::string_view name, int flags) {
  const std::string path = base::StrCat("/proc/", pid, "/", name);
  base::UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC));
  if (!fd.valid()) return base::ErrnoStatus(errno, path);
  return fd;
}

}  // namespace

iovec At(std::uint64_t address, std::uint64_t size) {
  return {reinterpret_cast<void*>(address), size};  // NOLINT(performance-no-int-to-ptr)
}

absl::StatusOr<ProcessMemory> ProcessMemory::Open(pid_t pid) {
  ASSIGN_OR_RETURN(base::UniqueFd memory, OpenProc(pid, "mem", O_RDWR));
  ASSIGN_OR_RETURN(base::UniqueFd pagemap, OpenProc(pid, "pagemap", O_RDONLY));
  return ProcessMemory(pid, std::move(memory), std::move(pagemap));
}

absl::Status ProcessMemory::Read(std::uint64_t address, void* to, std::uint64_t size) const {
  for (std::uint64_t done = 0; done < size;) {
    const ssize_t got = ::pread(memory_.get(), static_cast<char*>(to) + done, size - done,
                                static_cast<off_t>(address + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return base::ErrnoStatus(got == 0 ? EIO : errno, "reading a process's memory");
    done += static_cast<std::uint64_t>(got);
  }
  return absl::OkStatus();
}

absl::Status ProcessMemory::Write(std::uint64_t address, const void* from,
                                  std::uint64_t size) const {
  const ssize_t written = ::pwrite(memory_.get(), from, size, static_cast<off_t>(address));
  if (written < 0) return base::ErrnoStatus(errno, "writing a process's memory");
  if (static_cast<std::uint64_t>(written) != size) {
    return base::ErrnoStatus(EIO, "writing a process's memory");
  }
  return absl::OkStatus();
}

absl::Status ProcessMemory::WriteMany(const std::vector<iovec>& here,
                                      const std::vector<iovec>& there) const {
  for (std::size_t at = 0; at < here.size(); at += kVectorsMax) {
    const std::size_t count = std::min(kVectorsMax, here.size() - at);
    std::size_t wanted = 0;
    for (std::size_t i = at; i < at + count; ++i) wanted += here[i].iov_len;
    const ssize_t written = ::process_vm_writev(pid_, &here[at], count, &there[at], count, 0);
    if (written < 0) return base::ErrnoStatus(errno, "process_vm_writev");
    if (static_cast<std::size_t>(written) != wanted) {
      return absl::FailedPreconditionError(
          "cannot be rewound: a page that it wrote can no longer be written");
    }
  }
  return absl::OkStatus();
}

}  // namespace ncn::rewind
