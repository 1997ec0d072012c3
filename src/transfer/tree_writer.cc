#include "transfer/tree_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "transfer/beneath.h"
#include "transfer/disk.h"

namespace ncn::transfer {
namespace {

constexpr std::size_t kPathBytesMax = 1024;
constexpr std::size_t kNameBytesMax = 255;
constexpr int kDepthMax = 8;

absl::Status CheckName(std::string_view name) {
  if (name.empty()) return absl::InvalidArgumentError("has an empty component");
  if (name == "." || name == "..") return absl::InvalidArgumentError("has a component '.' or '..'");
  if (name == ".ncn")
    return absl::InvalidArgumentError("has a component '.ncn', which is the node's");
  if (name.size() > kNameBytesMax) {
    return absl::InvalidArgumentError(
        base::StrCat("has a component of more than ", kNameBytesMax, " bytes"));
  }
  return absl::OkStatus();
}

std::string_view ParentOf(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string NameOf(std::string_view path) { return std::string(path.substr(path.rfind('/') + 1)); }

absl::StatusOr<base::UniqueFd> OpenParent(int folder_fd, const std::string& path) {
  const std::string parent(ParentOf(path));
  return OpenBeneath(folder_fd, parent.empty() ? "." : parent, O_PATH | O_DIRECTORY);
}

absl::Status InTheWay(std::string_view path) {
  return absl::AlreadyExistsError(
      base::StrCat(path, ": something with this name is there already"));
}

}  // namespace

absl::StatusOr<std::string> CheckedEntryPath(const std::string& path, bool is_folder) {
  std::string_view rest = path;
  if (rest.empty()) return absl::InvalidArgumentError("has no name");
  if (rest.size() > kPathBytesMax) {
    return absl::InvalidArgumentError(
        base::StrCat("has a path of more than ", kPathBytesMax, " bytes"));
  }
  if (rest.front() == '/') return absl::InvalidArgumentError("has an absolute path");
  if (std::any_of(rest.begin(), rest.end(),
                  [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; })) {
    return absl::InvalidArgumentError("has control characters in its path");
  }
  while (rest.starts_with("./")) rest.remove_prefix(2);
  if (is_folder && rest.ends_with('/')) rest.remove_suffix(1);
  if (is_folder && (rest.empty() || rest == ".")) return std::string();
  const std::string checked(rest);
  int depth = 0;
  while (true) {
    const std::size_t slash = rest.find('/');
    RETURN_IF_ERROR(CheckName(rest.substr(0, slash)));
    if (++depth > kDepthMax) {
      return absl::InvalidArgumentError(
          base::StrCat("lies deeper than ", kDepthMax, " components"));
    }
    if (slash == std::string_view::npos) return checked;
    rest.remove_prefix(slash + 1);
  }
}

TreeWriter::~TreeWriter() {
  for (; !made_.empty(); made_.pop_back()) {
    const auto& [path, is_folder] = made_.back();
    const absl::StatusOr<base::UniqueFd> parent = OpenParent(folder_fd_, path);
    if (!parent.ok()) continue;
    ::unlinkat(parent->get(), NameOf(path).c_str(), is_folder ? AT_REMOVEDIR : 0);
  }
}

absl::Status TreeWriter::MakeFolder(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  const absl::StatusOr<base::UniqueFd> there =
      OpenBeneath(folder_fd_, path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  if (there.ok()) return absl::OkStatus();
  // Otherwise only what is not there at all can be made.
  RETURN_IF_ERROR(MakeFolder(std::string(ParentOf(path))));
  ASSIGN_OR_RETURN(const base::UniqueFd parent, OpenParent(folder_fd_, path));
  const std::string name = NameOf(path);
  if (::mkdirat(parent.get(), name.c_str(), 0755) != 0) {
    return errno == EEXIST ? InTheWay(path) : WriteStatus(errno, path);
  }
  made_.push_back({.path = path, .is_folder = true});
  if (::fchmodat(parent.get(), name.c_str(), 0755, 0) != 0) return WriteStatus(errno, path);
  return absl::OkStatus();
}

absl::StatusOr<base::UniqueFd> TreeWriter::MakeFile(const std::string& path) {
  RETURN_IF_ERROR(MakeFolder(std::string(ParentOf(path))));
  absl::StatusOr<base::UniqueFd> fd =
      OpenBeneath(folder_fd_, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (absl::IsAlreadyExists(fd.status())) return InTheWay(path);
  if (fd.ok()) made_.push_back({.path = path});
  return fd;
}

absl::Status TreeWriter::Keep() {
  // One call for thousands of files.
  if (::syncfs(folder_fd_) != 0) return WriteStatus(errno, "syncfs");
  made_.clear();
  return absl::OkStatus();
}

}  // namespace ncn::transfer
