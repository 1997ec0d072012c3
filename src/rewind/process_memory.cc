#include "rewind/process_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::rewind {
namespace {

constexpr std::size_t kVectorsMax = 1024;  // IOV_MAX
constexpr std::size_t kStatusBytesMax = 8192;

absl::StatusOr<base::UniqueFd> OpenProc(pid_t pid, std::string_view name, int flags) {
  const std::string path = base::StrCat("/proc/", pid, "/", name);
  base::UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC));
  if (!fd.valid()) return base::ErrnoStatus(errno, path);
  return fd;
}

// The number of KiB behind a field's name, or none.
std::optional<std::uint64_t> Field(std::string_view text, std::string_view name) {
  const std::size_t at = text.find(name);
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(std::min(text.find_first_not_of(" \t", at + name.size()), text.size()));
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() ? std::optional(number) : std::nullopt;
}

// From /proc/PID/status: what is in memory and what is swapped out. Allocates nothing unless it
// fails.
absl::StatusOr<std::uint64_t> CountIn(int status) {
  std::array<char, kStatusBytesMax> text;
  const ssize_t size = ::pread(status, text.data(), text.size(), 0);
  if (size < 0) return base::ErrnoStatus(errno, "reading a process's status");
  const std::string_view found(text.data(), static_cast<std::size_t>(size));
  const auto present = Field(found, "\nRssAnon:"), swapped = Field(found, "\nVmSwap:");
  if (!present || !swapped)
    return absl::NotFoundError("the kernel does not count a process's pages");
  return (*present + *swapped) * 1024 / kPageBytes;
}

// In a forked process: whether each page that is touched counts at once.
bool CountsEachPage() {
  constexpr int kPages = 16;
  void* const pages = ::mmap(nullptr, kPages * kPageBytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const int status = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (pages == MAP_FAILED || status < 0) return false;
  std::optional<std::uint64_t> before;
  // The first look touches what a look needs.
  for (int i = -1; i < kPages; ++i) {
    if (i >= 0) static_cast<volatile char*>(pages)[static_cast<std::size_t>(i) * kPageBytes] = 1;
    const absl::StatusOr<std::uint64_t> count = CountIn(status);
    if (!count.ok() || (i > 0 && *count != *before + 1)) return false;
    before = *count;
  }
  return true;
}

}  // namespace

bool KernelCountsExactly() {
  static const bool exact = [] {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(CountsEachPage() ? 0 : 1);
    int status = 0;
    return pid > 0 && ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
  }();
  return exact;
}

iovec At(std::uint64_t address, std::uint64_t size) {
  return {reinterpret_cast<void*>(address), size};  // NOLINT(performance-no-int-to-ptr)
}

absl::StatusOr<ProcessMemory> ProcessMemory::Open(pid_t pid) {
  ASSIGN_OR_RETURN(base::UniqueFd memory, OpenProc(pid, "mem", O_RDWR));
  ASSIGN_OR_RETURN(base::UniqueFd pagemap, OpenProc(pid, "pagemap", O_RDONLY));
  ASSIGN_OR_RETURN(base::UniqueFd status, OpenProc(pid, "status", O_RDONLY));
  return ProcessMemory(pid, std::move(memory), std::move(pagemap), std::move(status));
}

absl::StatusOr<std::uint64_t> ProcessMemory::CountOwnPages() const {
  return CountIn(status_.get());
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

absl::Status ProcessMemory::WriteMany(std::span<const iovec> here,
                                      std::span<const iovec> there) const {
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
