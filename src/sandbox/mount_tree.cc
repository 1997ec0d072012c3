#include "sandbox/mount_tree.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <cerrno>

#include "base/files.h"
#include "base/strings.h"
#include "sandbox/sandbox_policy.h"
#include "sandbox/system_calls.h"

namespace ncn::sandbox {
namespace {

constexpr char kRootBytes[] = "256k";
constexpr char kRootInodes[] = "512";
constexpr unsigned kNothingRuns = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
constexpr char kOldDevices[] = "/dev";  // Of the host; no longer needed after MountDevices.
constexpr std::array kDevices = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                 "/dev/urandom"};

// Paths in the new root are made relative to its descriptor.
const char* Relative(const std::string& path) { return path.c_str() + 1; }

// A detached tmpfs of the given bounds.
base::UniqueFd Tmpfs(const std::string& bytes, const std::string& inodes, const char* mode,
                     unsigned attributes) {
  base::UniqueFd fs(Fsopen("tmpfs"));
  if (!fs.valid() || FsconfigString(fs.get(), "size", bytes.c_str()) != 0 ||
      FsconfigString(fs.get(), "nr_inodes", inodes.c_str()) != 0 ||
      FsconfigString(fs.get(), "mode", mode) != 0 || FsconfigCreate(fs.get()) != 0) {
    return base::UniqueFd();
  }
  return base::UniqueFd(Fsmount(fs.get(), attributes));
}

}  // namespace

bool MountTree::CloneSources() {
  sources_.reserve(request_.binds.size());
  for (const BindMount& bind : request_.binds) {
    const char* path = bind.host_path.c_str();
    base::UniqueFd source(
        Openat2(AT_FDCWD, path, O_PATH, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
    if (!source.valid()) return journal_.FailErrno(base::StrCat("open of ", bind.host_path));
    struct stat seen {};
    if (::fstat(source.get(), &seen) != 0) return journal_.FailErrno(bind.host_path);
    if (seen.st_dev != bind.device || seen.st_ino != bind.inode) {
      return journal_.Fail(ESTALE, base::StrCat(bind.host_path, " was replaced meanwhile"));
    }
    const unsigned recursive = bind.folder ? AT_RECURSIVE : 0;
    base::UniqueFd clone(OpenTree(source.get(), "",
                                  OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | recursive));
    if (!clone.valid()) return journal_.FailErrno(base::StrCat("clone of ", bind.host_path));
    const unsigned attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                (bind.executable ? 0 : MOUNT_ATTR_NOEXEC);
    if (AddMountAttributes(clone.get(), attributes, bind.folder) != 0) {
      return journal_.FailErrno(base::StrCat("read-only mount of ", bind.host_path));
    }
    sources_.push_back(std::move(clone));
  }
  return true;
}

bool MountTree::MakeFolders(std::string_view path) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string folder(path.substr(0, end));
    if (::mkdirat(root_.get(), Relative(folder), 0755) != 0 && errno != EEXIST) {
      return journal_.FailErrno(base::StrCat("mkdir of ", folder));
    }
    if (end == std::string_view::npos) return true;
  }
}

bool MountTree::MakeFile(std::string_view path, std::string_view bytes) {
  const std::string_view parent = path.substr(0, path.rfind('/'));
  if (!parent.empty() && !MakeFolders(parent)) return false;
  const std::string name(path);
  const base::UniqueFd file(::openat(root_.get(), Relative(name),
                                     O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444));
  if (!file.valid()) return journal_.FailErrno(base::StrCat("creation of ", name));
  if (!bytes.empty() && !base::WriteAll(file.get(), bytes).ok()) {
    return journal_.FailErrno(base::StrCat("write of ", name));
  }
  return true;
}

bool MountTree::Attach(int mount, const std::string& inside_path) {
  if (MoveMount(mount, root_.get(), Relative(inside_path)) != 0) {
    return journal_.FailErrno(base::StrCat("mount on ", inside_path));
  }
  return true;
}

bool MountTree::MountRoot() {
  root_ = Tmpfs(kRootBytes, kRootInodes, "0555", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  if (!root_.valid()) return journal_.FailErrno("tmpfs of the root");
  // Over the old root, where a folder to mount on surely is; Pivot takes that away.
  if (MoveMount(root_.get(), AT_FDCWD, "/") != 0) return journal_.FailErrno("mount of the root");
  for (const RootSymlink& link : request_.symlinks) {
    const std::size_t slash = link.name.rfind('/');
    if (slash != 0 && !MakeFolders(link.name.substr(0, slash))) return false;
    if (::symlinkat(link.target.c_str(), root_.get(), Relative(link.name)) != 0) {
      return journal_.FailErrno(base::StrCat("link ", link.name));
    }
  }
  for (const RootFile& file : request_.files) {
    if (!MakeFile(file.path, file.bytes)) return false;
  }
  return true;
}

bool MountTree::AttachSources() {
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    const BindMount& bind = request_.binds[i];
    if (!(bind.folder ? MakeFolders(bind.inside_path) : MakeFile(bind.inside_path, "")) ||
        !Attach(sources_[i].get(), bind.inside_path)) {
      return false;
    }
  }
  sources_.clear();
  return true;
}

bool MountTree::MountDevices() {
  for (const char* device : kDevices) {
    const base::UniqueFd source(
        Openat2(AT_FDCWD, device, O_PATH, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
    struct stat seen {};
    if (!source.valid() || ::fstat(source.get(), &seen) != 0) return journal_.FailErrno(device);
    if (!S_ISCHR(seen.st_mode) || ::major(seen.st_rdev) != 1) {  // 1: the memory devices.
      return journal_.Fail(ENODEV, base::StrCat(device, " is not that device"));
    }
    const base::UniqueFd clone(
        OpenTree(source.get(), "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
    if (!clone.valid() ||
        AddMountAttributes(clone.get(), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, false) != 0) {
      return journal_.FailErrno(base::StrCat("clone of ", device));
    }
    if (!MakeFile(device, "") || !Attach(clone.get(), device)) return false;
  }
  return true;
}

bool MountTree::MountWorkspace() {
  struct Part {
    const char* name;
    const char* inside_path;
  };
  constexpr std::array kParts = {Part{"work", kWorkFolder}, Part{"tmp", kTemporaryFolder},
                                 Part{"shm", kSharedMemoryFolder}};
  const base::UniqueFd whole =
      Tmpfs(std::to_string(request_.workspace_bytes), std::to_string(request_.workspace_inodes),
            "0700", kNothingRuns);
  if (!whole.valid()) return journal_.FailErrno("tmpfs of the workspace");
  // A mount must hang in the tree for its parts to be cloned (before Linux 6.15). In the old tree,
  // which goes as a whole, it needs no umount of its own, for which the kernel would wait.
  if (MoveMount(whole.get(), AT_FDCWD, kOldDevices) != 0) {
    return journal_.FailErrno("mount of the workspace");
  }
  std::array<base::UniqueFd, kParts.size()> parts;
  for (std::size_t i = 0; i < kParts.size(); ++i) {
    if (::mkdirat(whole.get(), kParts[i].name, 0700) != 0) return journal_.FailErrno("mkdir");
    parts[i].reset(OpenTree(whole.get(), kParts[i].name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    if (!parts[i].valid()) return journal_.FailErrno("clone of the workspace");
  }
  for (std::size_t i = 0; i < kParts.size(); ++i) {
    if (!MakeFolders(kParts[i].inside_path) || !Attach(parts[i].get(), kParts[i].inside_path)) {
      return false;
    }
  }
  work_folder_.reset(::openat(root_.get(), kWorkFolder + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return work_folder_.valid() || journal_.FailErrno("open of /work");
}

bool MountTree::MountProc() {
  const base::UniqueFd fs(Fsopen("proc"));
  if (!fs.valid() || FsconfigCreate(fs.get()) != 0) return journal_.FailErrno("mount of /proc");
  // Who makes sandboxes writes their identity maps there.
  const unsigned read_only = request_.makes_sandboxes ? 0 : MOUNT_ATTR_RDONLY;
  const base::UniqueFd proc(Fsmount(fs.get(), kNothingRuns | read_only));
  if (!proc.valid()) return journal_.FailErrno("mount of /proc");
  return MakeFolders("/proc") && Attach(proc.get(), "/proc");
}

bool MountTree::Pivot() {
  if (AddMountAttributes(root_.get(), MOUNT_ATTR_RDONLY, false) != 0) {
    return journal_.FailErrno("read-only root");
  }
  if (::fchdir(root_.get()) != 0 || PivotRoot(".", ".") != 0) {
    return journal_.FailErrno("pivot_root");
  }
  // The old root now lies over the new one; below it nothing of the host is left.
  if (::umount2(".", MNT_DETACH) != 0) return journal_.FailErrno("umount of the old root");
  if (::chdir(request_.working_folder.c_str()) != 0) {
    return journal_.FailErrno(base::StrCat("chdir to ", request_.working_folder));
  }
  root_.reset();
  return true;
}

}  // namespace ncn::sandbox
