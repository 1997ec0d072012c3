#include "apps/compute_node/state_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>

#include "base/errno_status.h"
#include "base/strings.h"

namespace ncn::apps {

absl::StatusOr<base::UniqueFd> LockStateFolder(const std::filesystem::path& folder) {
  std::error_code error;
  if (!folder.parent_path().empty()) {
    std::filesystem::create_directories(folder.parent_path(), error);
  }
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return base::ErrnoStatus(errno, base::StrCat("cannot make the state folder ", folder.native(),
                                                 " (--state-dir names another one)"));
  }
  const std::filesystem::path file = folder / "lock";
  base::UniqueFd lock(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid()) return base::ErrnoStatus(errno, file.native());
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        base::StrCat("another compute_node uses the state folder ", folder.native(),
                     "; stop it, or give this one a --state-dir of its own"));
  }
  return lock;
}

}  // namespace ncn::apps
