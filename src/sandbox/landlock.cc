#include "sandbox/landlock.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace ncn::sandbox {
namespace {

// As in the kernel's include/uapi/linux/landlock.h, which Debian 12's headers have up to ABI 2
// only.
constexpr std::uint64_t kExecute = 1ULL << 0, kWriteFile = 1ULL << 1, kReadFile = 1ULL << 2,
                        kReadDir = 1ULL << 3, kRemoveDir = 1ULL << 4, kRemoveFile = 1ULL << 5,
                        kMakeDir = 1ULL << 7, kMakeReg = 1ULL << 8, kMakeSym = 1ULL << 12,
                        kRefer = 1ULL << 13, kTruncate = 1ULL << 14, kIoctlDev = 1ULL << 15;
constexpr std::uint64_t kFileRightsAbi1 = (1ULL << 13) - 1;
constexpr std::uint64_t kNetBindTcp = 1ULL << 0, kNetConnectTcp = 1ULL << 1;
constexpr std::uint64_t kScopeAbstractUnix = 1ULL << 0, kScopeSignal = 1ULL << 1;
constexpr unsigned kCreateRulesetVersion = 1;
constexpr int kRulePathBeneath = 1;

struct RulesetAttributes {
  std::uint64_t file_rights;  // ABI 1
  std::uint64_t net_rights;   // ABI 4
  std::uint64_t scoped;       // ABI 6
};
struct __attribute__((packed)) PathBeneath {
  std::uint64_t allowed;
  std::int32_t parent_fd;
};

std::uint64_t FileRights(int abi) {
  std::uint64_t rights = kFileRightsAbi1;
  if (abi >= 2) rights |= kRefer;
  if (abi >= 3) rights |= kTruncate;
  if (abi >= 5) rights |= kIoctlDev;
  return rights;
}

constexpr std::uint64_t kOnFiles = kExecute | kWriteFile | kReadFile | kTruncate | kIoctlDev;

std::uint64_t Allowed(LandlockAccess access) {
  switch (access) {
    case LandlockAccess::kExecute:
      return kExecute | kReadFile | kReadDir;
    case LandlockAccess::kRead:
      return kReadFile | kReadDir;
    case LandlockAccess::kWrite:
      return kReadFile | kReadDir | kWriteFile | kTruncate | kRemoveDir | kRemoveFile | kMakeDir |
             kMakeReg | kMakeSym | kRefer;
    case LandlockAccess::kDevice:
      return kReadFile | kWriteFile;
  }
  return 0;
}

int CreateRuleset(int abi) {
  RulesetAttributes attributes{};
  attributes.file_rights = FileRights(abi);
  std::size_t size = sizeof(attributes.file_rights);
  if (abi >= 4) {
    attributes.net_rights = kNetBindTcp | kNetConnectTcp;
    size = offsetof(RulesetAttributes, scoped);
  }
  if (abi >= 6) {
    attributes.scoped = kScopeAbstractUnix | kScopeSignal;
    size = sizeof(attributes);
  }
  return static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size, 0));
}

int AddRule(int ruleset, int abi, const LandlockPath& rule) {
  const base::UniqueFd path(::open(rule.path.c_str(), O_PATH | O_CLOEXEC));
  if (!path.valid()) return errno == ENOENT ? 0 : errno;
  struct stat seen {};
  if (::fstat(path.get(), &seen) != 0) return errno;
  PathBeneath beneath{};
  beneath.allowed = Allowed(rule.access) & FileRights(abi);
  if (!S_ISDIR(seen.st_mode)) beneath.allowed &= kOnFiles;
  beneath.parent_fd = path.get();
  return ::syscall(SYS_landlock_add_rule, ruleset, kRulePathBeneath, &beneath, 0) == 0 ? 0 : errno;
}

}  // namespace

int LandlockAbi() {
  const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kCreateRulesetVersion);
  return abi < 0 ? 0 : static_cast<int>(std::min(abi, 255L));
}

int RestrictWithLandlock(int abi, const std::vector<LandlockPath>& paths,
                         std::string_view& failed) {
  failed = "landlock_create_ruleset";
  if (abi < 1) return EOPNOTSUPP;
  const base::UniqueFd ruleset(CreateRuleset(abi));
  if (!ruleset.valid()) return errno;
  for (const LandlockPath& rule : paths) {
    failed = rule.path;
    if (const int error = AddRule(ruleset.get(), abi, rule); error != 0) return error;
  }
  failed = "landlock_restrict_self";
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) return errno;
  // Believe it only when it bites: nothing grants reading the root itself.
  failed = "proof that landlock bites";
  const base::UniqueFd root(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (root.valid()) return EPROTO;
  return errno == EACCES ? 0 : errno;
}

}  // namespace ncn::sandbox
