#include "models/mounted_model.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/strings.h"

namespace ncn::models {
namespace {

// The times of a file's inode change when it is renamed or removed; these do not.
bool SameContent(const FileIdentity& a, const FileIdentity& b) {
  return a.device == b.device && a.inode == b.inode && a.size_bytes == b.size_bytes &&
         a.mtime_ns == b.mtime_ns;
}

}  // namespace

MountedModel::MountedModel(Model model, base::UniqueFd seen)
    : model_(std::move(model)), seen_(std::move(seen)) {}

absl::Status MountedModel::Changed(std::string_view path) const {
  return absl::AbortedError(
      base::StrCat("model ", model_.id.value(), " changed since it was verified: ", path));
}

absl::Status MountedModel::CheckVerified() const {
  if (!model_.is_folder) {
    const absl::StatusOr<FileIdentity> identity = IdentityOf(seen_.get(), model_.relative_file);
    const bool same = identity.ok() && *identity == model_.identity;
    return same ? absl::OkStatus() : Changed(model_.relative_file);
  }
  const auto tree = TreeBelow(seen_.get());
  if (!tree.ok()) return Changed(base::ToStd(tree.status().message()));
  const auto [found, wanted] =
      std::mismatch(tree->begin(), tree->end(), model_.files->begin(), model_.files->end());
  if (wanted != model_.files->end()) return Changed(wanted->path);
  return found == tree->end() ? absl::OkStatus() : Changed(found->path);
}

absl::Status MountedModel::CheckUnwritten() const {
  for (const TreeFile& file : *model_.files) {
    struct stat info;
    const int result = model_.is_folder
                           ? ::fstatat(seen_.get(), file.path.c_str(), &info, AT_SYMLINK_NOFOLLOW)
                           : ::fstat(seen_.get(), &info);
    if (result != 0 && errno == ENOENT) continue;
    if (result != 0 || !SameContent(IdentityFrom(info), file.identity)) return Changed(file.path);
  }
  return absl::OkStatus();
}

}  // namespace ncn::models
