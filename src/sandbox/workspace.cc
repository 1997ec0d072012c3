#include "sandbox/workspace.h"

#include <sys/fsuid.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "sandbox/system_calls.h"

namespace ncn::sandbox {
namespace {

constexpr std::size_t kNameBytesMax = 255;

// Makes files of this thread belong to `owner`: in a file system of the sandbox's user namespace
// the node's own user does not exist.
class ScopedFileOwner {
 public:
  explicit ScopedFileOwner(WorkspaceOwner owner)
      : gid_(::setfsgid(owner.gid)), uid_(::setfsuid(owner.uid)) {}
  ~ScopedFileOwner() {
    ::setfsuid(static_cast<uid_t>(uid_));
    ::setfsgid(static_cast<gid_t>(gid_));
  }
  ScopedFileOwner(const ScopedFileOwner&) = delete;
  ScopedFileOwner& operator=(const ScopedFileOwner&) = delete;

 private:
  const int gid_;
  const int uid_;
};

CollectedFile Collect(int work_folder, const SandboxCommand::OutputFile& wanted) {
  CollectedFile file{wanted.name, std::nullopt, FileAbsence::kMissing};
  const auto absent = [&file](FileAbsence why) {
    file.absence = why;
    return file;
  };
  if (!IsFileName(wanted.name)) return absent(FileAbsence::kMissing);
  // O_NONBLOCK: the open of a pipe must not wait for a writer.
  const base::UniqueFd fd(
      Openat2(work_folder, wanted.name.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW,
              RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH | RESOLVE_NO_XDEV));
  if (!fd.valid()) {
    if (errno == ENOENT) return absent(FileAbsence::kMissing);
    const bool special = errno == ELOOP || errno == EXDEV || errno == ENXIO || errno == ENODEV;
    return absent(special ? FileAbsence::kNotRegular : FileAbsence::kUnreadable);
  }
  struct stat seen {};
  if (::fstat(fd.get(), &seen) != 0) return absent(FileAbsence::kUnreadable);
  if (!S_ISREG(seen.st_mode)) return absent(FileAbsence::kNotRegular);
  if (seen.st_nlink != 1) return absent(FileAbsence::kLinked);
  if (static_cast<std::uint64_t>(seen.st_size) > wanted.bytes_max) {
    return absent(FileAbsence::kTooLarge);
  }
  absl::StatusOr<std::string> bytes = base::ReadAll(fd.get(), wanted.bytes_max);
  if (!bytes.ok() || bytes->size() != static_cast<std::uint64_t>(seen.st_size)) {
    return absent(FileAbsence::kUnreadable);
  }
  file.bytes = *std::move(bytes);
  return file;
}

}  // namespace

bool IsFileName(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

absl::Status PlaceFiles(int work_folder, const std::vector<SandboxCommand::InputFile>& files,
                        WorkspaceOwner owner) {
  const ScopedFileOwner scope(owner);
  for (const SandboxCommand::InputFile& file : files) {
    if (!IsFileName(file.name)) {
      return absl::InvalidArgumentError(
          base::StrCat("\"", file.name, "\" cannot be a file of the workspace: give a plain name"));
    }
    const base::UniqueFd fd(::openat(work_folder, file.name.c_str(),
                                     O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd.valid()) return base::ErrnoStatus(errno, "creation of " + file.name);
    RETURN_IF_ERROR(base::WriteAll(fd.get(), file.bytes));
  }
  return absl::OkStatus();
}

std::vector<CollectedFile> CollectFiles(int work_folder,
                                        const std::vector<SandboxCommand::OutputFile>& wanted) {
  std::vector<CollectedFile> files;
  files.reserve(wanted.size());
  for (const SandboxCommand::OutputFile& file : wanted) {
    files.push_back(Collect(work_folder, file));
  }
  return files;
}

}  // namespace ncn::sandbox
