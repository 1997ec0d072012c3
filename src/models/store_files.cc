#include "models/store_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <utility>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::models {
namespace {

constexpr std::size_t kTreeFilesMax = 10'000;
constexpr int kTreeDepthMax = 8;
constexpr std::size_t kNamesMax = 1'000'000;  // Of one folder.
constexpr int kOpenAttemptsMax = 100;
// File times advance with the kernel's timer tick, 10 ms at most.
constexpr std::chrono::nanoseconds kSettleTime = std::chrono::milliseconds(50);

std::int64_t Nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

absl::Status NoSymlinks(std::string_view path) {
  return absl::FailedPreconditionError(base::StrCat(
      path, ": is a symbolic link or lies behind one; put the file itself into the model folder"));
}

absl::Status NoRegularFile(std::string_view path) {
  return absl::FailedPreconditionError(
      base::StrCat(path, ": is not a regular file; remove it from the model folder"));
}

absl::StatusOr<base::UniqueFd> OpenBeneath(int folder, const std::string& path, int flags) {
  open_how how = {};
  how.flags = static_cast<__u64>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  long fd = -1;
  // EAGAIN: something was renamed meanwhile.
  for (int attempt = 0; attempt < kOpenAttemptsMax; ++attempt) {
    fd = ::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof(how));
    if (fd >= 0 || (errno != EINTR && errno != EAGAIN)) break;
  }
  if (fd >= 0) return base::UniqueFd(static_cast<int>(fd));
  if (errno == ELOOP) return NoSymlinks(path);
  return base::ErrnoStatus(errno, path);
}

EntryKind KindOf(mode_t mode) {
  if (S_ISREG(mode)) return EntryKind::kFile;
  if (S_ISDIR(mode)) return EntryKind::kFolder;
  return S_ISLNK(mode) ? EntryKind::kSymlink : EntryKind::kOther;
}

absl::StatusOr<struct stat> Stat(int folder, const std::string& name) {
  struct stat info;
  if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) return info;
  return base::ErrnoStatus(errno, name);
}

// What is in a folder, sorted by name; the kind where the file system tells it. Ones that vanish
// meanwhile are the caller's to notice.
struct Named {
  std::string name;
  unsigned char type = DT_UNKNOWN;
};

absl::StatusOr<std::vector<Named>> ReadFolder(int folder) {
  ASSIGN_OR_RETURN(base::UniqueFd fd, OpenBeneath(folder, ".", O_RDONLY | O_DIRECTORY));
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd.get()), ::closedir);
  if (stream == nullptr) return base::ErrnoStatus(errno, "list folder");
  static_cast<void>(fd.release());
  std::vector<Named> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.push_back({std::string(name), entry->d_type});
    if (names.size() > kNamesMax) {
      return absl::ResourceExhaustedError(
          base::StrCat("the folder has more than ", kNamesMax, " entries"));
    }
    errno = 0;
  }
  if (errno != 0) return base::ErrnoStatus(errno, "list folder");
  std::sort(names.begin(), names.end(),
            [](const Named& a, const Named& b) { return a.name < b.name; });
  return names;
}

absl::StatusOr<std::vector<std::string>> NamesIn(int folder) {
  ASSIGN_OR_RETURN(std::vector<Named> found, ReadFolder(folder));
  std::vector<std::string> names;
  names.reserve(found.size());
  for (Named& named : found) names.push_back(std::move(named.name));
  return names;
}

absl::Status AppendTree(int folder, const std::string& prefix, int depth,
                        std::vector<TreeFile>& files) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(folder));
  for (const std::string& name : names) {
    const std::string path = prefix + name;
    ASSIGN_OR_RETURN(const struct stat info, Stat(folder, name));
    const EntryKind kind = KindOf(info.st_mode);
    if (kind == EntryKind::kSymlink) return NoSymlinks(path);
    if (kind == EntryKind::kOther) return NoRegularFile(path);
    if (kind == EntryKind::kFile) {
      files.push_back({path, IdentityFrom(info)});
    } else {
      if (depth == kTreeDepthMax) {
        return absl::ResourceExhaustedError(
            base::StrCat(path, ": folders are nested more than ", kTreeDepthMax, " levels deep"));
      }
      ASSIGN_OR_RETURN(const base::UniqueFd below, OpenBeneath(folder, name, O_PATH | O_DIRECTORY));
      RETURN_IF_ERROR(AppendTree(below.get(), path + "/", depth + 1, files));
    }
    if (files.size() > kTreeFilesMax) {
      return absl::ResourceExhaustedError(
          base::StrCat(path, ": is one file more than the ", kTreeFilesMax, " a model may have"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

FileIdentity IdentityFrom(const struct stat& info) {
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .size_bytes = static_cast<std::uint64_t>(info.st_size),
          .mtime_ns = Nanoseconds(info.st_mtim),
          .ctime_ns = Nanoseconds(info.st_ctim)};
}

bool IsSettled(const FileIdentity& identity) {
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  return std::chrono::nanoseconds(Nanoseconds(now) - identity.ctime_ns) > kSettleTime;
}

absl::Status ChangedWhileRead(std::string_view name) {
  return absl::AbortedError(
      base::StrCat(name, ": changed while it was being read; let the copy finish and ask again"));
}

absl::StatusOr<FileIdentity> IdentityOf(int fd, std::string_view name) {
  struct stat info;
  if (::fstat(fd, &info) != 0) return base::ErrnoStatus(errno, name);
  if (!S_ISREG(info.st_mode)) return NoRegularFile(name);
  return IdentityFrom(info);
}

absl::StatusOr<FolderFd> FolderFd::Open(const std::filesystem::path& path) {
  base::UniqueFd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return base::ErrnoStatus(errno, path.native());
  return FolderFd(std::move(fd));
}

absl::StatusOr<FileIdentity> FolderFd::Identity() const {
  struct stat info;
  if (::fstat(fd_.get(), &info) != 0) return base::ErrnoStatus(errno, "folder");
  return IdentityFrom(info);
}

absl::StatusOr<FolderFd::File> FolderFd::OpenFile(const std::string& path) const {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  ASSIGN_OR_RETURN(base::UniqueFd fd, OpenBeneath(fd_.get(), path, O_RDONLY | O_NONBLOCK));
  ASSIGN_OR_RETURN(const FileIdentity identity, IdentityOf(fd.get(), path));
  return File{std::move(fd), identity};
}

absl::StatusOr<FolderFd::File> FolderFd::OpenListed(const TreeFile& listed) const {
  ASSIGN_OR_RETURN(File file, OpenFile(listed.path));
  if (file.identity != listed.identity) return ChangedWhileRead(listed.path);
  return file;
}

absl::StatusOr<FolderFd> FolderFd::OpenFolder(const std::string& path) const {
  ASSIGN_OR_RETURN(base::UniqueFd fd, OpenBeneath(fd_.get(), path, O_PATH | O_DIRECTORY));
  return FolderFd(std::move(fd));
}

absl::StatusOr<Entry> FolderFd::Look(const std::string& name) const {
  ASSIGN_OR_RETURN(const struct stat info, Stat(fd_.get(), name));
  return Entry{name, KindOf(info.st_mode), IdentityFrom(info)};
}

absl::StatusOr<std::vector<std::string>> FolderFd::Names() const { return NamesIn(fd_.get()); }

absl::StatusOr<std::vector<Entry>> FolderFd::List() const {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(fd_.get()));
  std::vector<Entry> entries;
  for (const std::string& name : names) {
    if (name.starts_with('.')) continue;
    const absl::StatusOr<Entry> entry = Look(name);
    if (entry.ok()) entries.push_back(*entry);  // Otherwise removed meanwhile.
  }
  return entries;
}

absl::StatusOr<std::vector<std::string>> FolderFd::Folders() const {
  ASSIGN_OR_RETURN(const std::vector<Named> found, ReadFolder(fd_.get()));
  std::vector<std::string> folders;
  for (const auto& [name, type] : found) {
    if (type != DT_DIR && type != DT_UNKNOWN) continue;
    const absl::StatusOr<Entry> entry = Look(name);
    if (entry.ok() && entry->kind == EntryKind::kFolder) folders.push_back(name);
  }
  return folders;
}

absl::StatusOr<std::vector<TreeFile>> TreeBelow(int folder) {
  std::vector<TreeFile> files;
  RETURN_IF_ERROR(AppendTree(folder, "", 0, files));
  std::sort(files.begin(), files.end(),
            [](const TreeFile& a, const TreeFile& b) { return a.path < b.path; });
  return files;
}

}  // namespace ncn::models
