#include "transfer/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/errno_status.h"
#include "base/strings.h"

namespace ncn::transfer {

absl::StatusOr<base::UniqueFd> OpenBeneath(int folder_fd, const std::string& path, int flags,
                                           unsigned mode) {
  constexpr int kAttemptsMax = 100;
  open_how how = {};
  how.flags = static_cast<__u64>(flags | O_CLOEXEC);
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  long fd = -1;
  // EAGAIN: something was renamed meanwhile.
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    fd = ::syscall(SYS_openat2, folder_fd, path.c_str(), &how, sizeof(how));
    if (fd >= 0 || (errno != EINTR && errno != EAGAIN)) break;
  }
  if (fd >= 0) return base::UniqueFd(static_cast<int>(fd));
  if (errno == ELOOP) {
    return absl::PermissionDeniedError(
        base::StrCat(path, ": is a symbolic link or lies behind one"));
  }
  if (errno == EXDEV) {
    return absl::PermissionDeniedError(base::StrCat(path, ": leads out of its folder"));
  }
  return base::ErrnoStatus(errno, path);
}

}  // namespace ncn::transfer
