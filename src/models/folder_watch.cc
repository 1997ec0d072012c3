#include "models/folder_watch.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "base/errno_status.h"
#include "base/strings.h"

namespace ncn::models {
namespace {

constexpr std::uint32_t kFinished =
    IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB;
constexpr std::uint32_t kGone = IN_DELETE_SELF | IN_MOVE_SELF;
constexpr std::uint32_t kMask = kFinished | IN_MODIFY | kGone | IN_ONLYDIR | IN_EXCL_UNLINK;
constexpr std::size_t kBufferBytes = 64 << 10;
constexpr int kReadsMax = 64;  // In one go, so that a flood does not hold the thread.

std::string Below(const std::string& path, const std::string& name) {
  return path.empty() ? name : base::StrCat(path, "/", name);
}

}  // namespace

FolderWatch::FolderWatch(const StoreFolders& folders, const Options& options)
    : folders_(folders), options_(options) {
  Begin();
}

void FolderWatch::Begin() {
  begin_again_ = false;
  gap_.clear();
  watched_.clear();
  watch_of_.clear();
  tops_.clear();
  inotify_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify_.valid()) {
    gap_ = base::StrCat("inotify_init1: ", base::ErrnoName(errno),
                        "; raise fs.inotify.max_user_instances");
  }
  for (std::size_t i = 0; i < folders_.paths().size(); ++i) WatchTop(i);
}

void FolderWatch::WatchTop(std::size_t folder) {
  base::UniqueFd fd(::open(folders_.TopOf(folder).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat info;
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0) return;
  tops_.insert_or_assign(folder, Top{std::move(fd), info.st_dev, info.st_ino});
  WatchBelow(folder, "", 0);
}

bool FolderWatch::AddWatch(std::size_t folder, const std::string& path) {
  if (!inotify_.valid()) return false;
  if (watched_.size() >= options_.watches_max) {
    gap_ = base::StrCat("more than ", options_.watches_max, " folders");
    return false;
  }
  // The last component of a store's folder itself is the link of /proc, which must be followed.
  const std::string full = base::StrCat("/proc/self/fd/", tops_.at(folder).fd.get(), "/", path);
  const int watch = ::inotify_add_watch(inotify_.get(), full.c_str(),
                                        kMask | (path.empty() ? 0 : IN_DONT_FOLLOW));
  if (watch < 0) {
    // Others: it is gone again, is no folder or not ours to read.
    if (errno == ENOSPC || errno == ENOMEM) {
      gap_ = base::StrCat("inotify_add_watch: ", base::ErrnoName(errno),
                          "; raise fs.inotify.max_user_watches");
    }
    return false;
  }
  if (const auto before = watched_.find(watch); before != watched_.end()) {
    watch_of_.erase({before->second.folder, before->second.path});
  }
  watched_.insert_or_assign(watch, Watched{folder, path});
  watch_of_.insert_or_assign({folder, path}, watch);
  return true;
}

void FolderWatch::WatchBelow(std::size_t folder, const std::string& path, int depth) {
  // Watched before it is listed: what comes in between is seen by one of the two.
  if (!AddWatch(folder, path) || depth == options_.depth_max) return;
  const std::string relative = path.empty() ? "." : path;
  const int top = tops_.at(folder).fd.get();
  struct stat info;
  // Two links, its name and its own dot, leave none for folders below. File systems that do not
  // count have one.
  if (::fstatat(top, relative.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_nlink == 2)
    return;
  base::UniqueFd fd(
      ::openat(top, relative.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return;
  const absl::StatusOr<std::vector<std::string>> names = FolderFd(std::move(fd)).Folders();
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (path.empty() && name.starts_with('.')) continue;
    WatchBelow(folder, Below(path, name), depth + 1);
    if (!gap_.empty()) return;
  }
}

void FolderWatch::Unwatch(std::size_t folder, const std::string& path) {
  const std::string below = path + "/";
  auto at = watch_of_.lower_bound({folder, path});
  while (at != watch_of_.end() && at->first.first == folder && at->first.second.starts_with(path)) {
    if (at->first.second != path && !at->first.second.starts_with(below)) {
      ++at;
      continue;
    }
    ::inotify_rm_watch(inotify_.get(), at->second);
    watched_.erase(at->second);
    at = watch_of_.erase(at);
  }
}

void FolderWatch::CheckFolders() {
  for (std::size_t i = 0; i < folders_.paths().size(); ++i) {
    struct stat info;
    const bool there = ::stat(folders_.TopOf(i).c_str(), &info) == 0 && S_ISDIR(info.st_mode);
    const auto top = tops_.find(i);
    const bool same = top != tops_.end() && there && info.st_dev == top->second.device &&
                      info.st_ino == top->second.inode;
    if (there ? !same : top != tops_.end()) begin_again_ = true;
  }
}

void FolderWatch::Read(std::uint32_t mask, int watch, const std::string& name, Happened& happened) {
  if ((mask & IN_Q_OVERFLOW) != 0) begin_again_ = true;
  const auto found = watched_.find(watch);
  if (found == watched_.end()) return;
  const auto [folder, path] = found->second;
  if (path.empty() && (mask & (kGone | IN_UNMOUNT | IN_IGNORED)) != 0) {
    begin_again_ = true;
    return;
  }
  if ((mask & IN_IGNORED) != 0) {
    watch_of_.erase({folder, path});
    watched_.erase(found);
    return;
  }
  if (path.empty() && name.empty()) happened.anything = true;
  if (path.empty() && (name.empty() || name.starts_with('.'))) return;
  const std::string whole = name.empty() ? path : Below(path, name);
  const EntryPlace place{folder, whole.substr(0, whole.find('/'))};
  // What came last counts.
  if ((mask & IN_MODIFY) != 0 && happened.written.insert(place).second) {
    happened.changed.erase(place);
  }
  if ((mask & (kFinished | kGone)) != 0 && happened.changed.insert(place).second) {
    happened.written.erase(place);
  }
  if ((mask & IN_ISDIR) == 0 || name.empty()) return;
  if ((mask & (IN_DELETE | IN_MOVED_FROM)) != 0) Unwatch(folder, whole);
  if ((mask & (IN_CREATE | IN_MOVED_TO)) != 0) {
    Unwatch(folder, whole);
    WatchBelow(folder, whole, 1 + static_cast<int>(std::count(whole.begin(), whole.end(), '/')));
  }
}

FolderWatch::Happened FolderWatch::Take() {
  Happened happened;
  alignas(inotify_event) std::array<char, kBufferBytes> buffer;
  for (int reads = 0; inotify_.valid() && reads < kReadsMax; ++reads) {
    const ssize_t got = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (got <= 0) break;
    for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      const char* text = buffer.data() + at + sizeof(event);
      Read(event.mask, event.wd, std::string(text, ::strnlen(text, event.len)), happened);
      at += sizeof(event) + event.len;
    }
  }
  if (begin_again_) {
    Begin();
    happened.anything = true;
  }
  return happened;
}

}  // namespace ncn::models
