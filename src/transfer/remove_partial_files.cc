#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "base/errno_status.h"
#include "base/strings.h"
#include "base/unique_fd.h"
#include "transfer/disk.h"
#include "transfer/downloader.h"
#include "transfer/partial_file.h"

namespace ncn::transfer {
namespace {

constexpr std::size_t kSha256Digits = 64;

// Removes one file of the staging folder unless it is locked; what that frees.
std::uint64_t RemoveUnlocked(int folder, const std::string& name) {
  const base::UniqueFd fd(
      ::openat(folder, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat info;
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) ||
      ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 || ::unlinkat(folder, name.c_str(), 0) != 0) {
    return 0;
  }
  return AllocatedBytes(info);
}

}  // namespace

absl::StatusOr<std::uint64_t> RemovePartialFiles(const std::filesystem::path& staging,
                                                 const std::set<std::string>& wanted) {
  const base::UniqueFd folder(::open(staging.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) {
    if (errno == ENOENT) return 0;
    return base::ErrnoStatus(errno, staging.native());
  }
  std::set<std::string> unwanted;
  std::error_code error;
  for (std::filesystem::directory_iterator at(staging, error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename().native();
    const std::string sha256 = name.substr(0, kSha256Digits);
    if (!IsSha256(sha256) || wanted.contains(sha256)) continue;
    const std::string_view suffix = std::string_view(name).substr(kSha256Digits);
    if (std::find(std::begin(kPartialFileSuffixes), std::end(kPartialFileSuffixes), suffix) !=
        std::end(kPartialFileSuffixes)) {
      unwanted.insert(sha256);
    }
  }
  if (error) return base::ErrnoStatus(error.value(), staging.native());
  std::uint64_t freed_bytes = 0;
  for (const std::string& sha256 : unwanted) {
    // The lock on the partial file covers what is beside it.
    const std::string part = sha256 + ".part";
    freed_bytes += RemoveUnlocked(folder.get(), part);
    struct stat info;
    if (::fstatat(folder.get(), part.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) continue;
    for (const std::string_view suffix : kPartialFileSuffixes) {
      freed_bytes += RemoveUnlocked(folder.get(), base::StrCat(sha256, suffix));
    }
  }
  return freed_bytes;
}

}  // namespace ncn::transfer
