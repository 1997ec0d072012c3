#pragma once

#include "absl/status/status.h"
#include "base/unique_fd.h"
#include "models/model_store.h"

namespace ncn::models {

// A verified model as a sandbox sees it: the files that it really has before it, whatever the paths
// led to when they were mounted. Keeps the model lent. Movable; its checks are thread-safe.
class MountedModel {
 public:
  // `seen` is what is at the place of `model.root` inside: the file, or the folder; O_PATH will do.
  MountedModel(Model model, base::UniqueFd seen);

  // Whether these are exactly the files that were verified, untouched since, by device, inode,
  // size, mtime and ctime: what was read of them up to now was the verified content. Aborted
  // otherwise.
  absl::Status CheckVerified() const;

  // Whether nobody has written into them since, for afterwards: a file that was renamed or removed
  // meanwhile, as an orderly replacement does, goes on being what it was. Aborted otherwise.
  absl::Status CheckUnwritten() const;

 private:
  absl::Status Changed(std::string_view path) const;

  Model model_;
  base::UniqueFd seen_;
};

}  // namespace ncn::models
