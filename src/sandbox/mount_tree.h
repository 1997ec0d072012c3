#pragma once

#include "base/unique_fd.h"
#include "sandbox/launch_protocol.h"
#include "sandbox/setup_journal.h"

namespace ncn::sandbox {

// Builds the private file tree of a sandbox. Runs in the mini-init, in its new mount and pid
// namespaces: first CloneSources, while it still is who the node is; then, as the mapped user, the
// rest in the order declared. Each returns false when set-up must stop.
class MountTree {
 public:
  MountTree(const LaunchRequest& request, SetupJournal& journal)
      : request_(request), journal_(journal) {}

  // Opens every source without following a symbolic link, checks that it is the file that the node
  // saw, and makes a detached read-only clone of its mounts.
  [[nodiscard]] bool CloneSources();
  // A small file system of its own becomes the new root, with the image's symbolic links and files.
  [[nodiscard]] bool MountRoot();
  [[nodiscard]] bool AttachSources();
  // /dev with null, zero, full, random and urandom, and nothing else.
  [[nodiscard]] bool MountDevices();
  // /work, /tmp and /dev/shm: one file system, so that one bound of bytes and inodes holds for all.
  [[nodiscard]] bool MountWorkspace();
  [[nodiscard]] bool MountProc();
  // Makes the new root read-only and the only tree there is; the current folder is the working one.
  [[nodiscard]] bool Pivot();

  // A descriptor of the folder /work.
  const base::UniqueFd& work_folder() const { return work_folder_; }

 private:
  bool MakeFolders(std::string_view path);
  bool MakeFile(std::string_view path, std::string_view bytes);
  bool Attach(int mount, const std::string& inside_path);

  const LaunchRequest& request_;
  SetupJournal& journal_;
  std::vector<base::UniqueFd> sources_;
  base::UniqueFd root_;
  base::UniqueFd work_folder_;
};

}  // namespace ncn::sandbox
