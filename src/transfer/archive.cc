#include "transfer/archive.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string_view>

#include "base/status_macros.h"
#include "base/strings.h"
#include "transfer/archive_reader.h"
#include "transfer/disk.h"
#include "transfer/tree_writer.h"

namespace ncn::transfer {
namespace {

constexpr std::uint64_t kLookEveryBytes = std::uint64_t{4} << 20;

// What may come out of an archive as a whole.
class Budget {
 public:
  // The disk is that of `folder_fd`.
  Budget(const UnpackLimits& limits, std::uint64_t archive_bytes, int folder_fd)
      : limits_(limits), archive_bytes_(archive_bytes), folder_fd_(folder_fd) {}

  absl::Status AddEntry() {
    if (++entries_ <= limits_.entries_max) return absl::OkStatus();
    return absl::OutOfRangeError(
        base::StrCat("the archive has more than ", limits_.entries_max, " entries"));
  }
  absl::Status AddBytes(std::uint64_t bytes) {
    bytes_ += bytes;
    if (bytes_ > limits_.bytes_max) {
      return absl::OutOfRangeError(
          base::StrCat("the archive unpacks to more than ", limits_.bytes_max, " bytes"));
    }
    if (bytes_ > limits_.ratio_free_bytes && bytes_ / limits_.ratio_max >= archive_bytes_) {
      return absl::OutOfRangeError(base::StrCat("the archive unpacks to more than ",
                                                limits_.ratio_max, " times its ", archive_bytes_,
                                                " bytes"));
    }
    if (bytes_ < look_at_) return absl::OkStatus();
    look_at_ = bytes_ + kLookEveryBytes;
    return CheckFreeSpace(folder_fd_, bytes, limits_.reserve_bytes);
  }

 private:
  const UnpackLimits& limits_;
  const std::uint64_t archive_bytes_;
  const int folder_fd_;
  std::size_t entries_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t look_at_ = 0;  // The disk, when there are so many bytes.
};

absl::Status Named(const ArchiveEntry& entry, const absl::Status& status) {
  if (status.ok() || absl::IsCancelled(status)) return status;
  constexpr std::size_t kBytesMax = 200;
  std::string name = entry.path.substr(0, kBytesMax);
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return absl::Status(status.code(), base::StrCat("entry '", name, "': ", status.message()));
}

absl::StatusOr<std::uint64_t> WriteFile(ArchiveReader& reader, const ArchiveEntry& entry,
                                        const std::string& path, TreeWriter& tree, Budget& budget,
                                        const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const base::UniqueFd fd, tree.MakeFile(path));
  std::uint64_t size_bytes = 0;
  while (true) {
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    ASSIGN_OR_RETURN(const std::string_view bytes, reader.Read());
    if (bytes.empty()) break;
    RETURN_IF_ERROR(budget.AddBytes(bytes.size()));
    RETURN_IF_ERROR(WriteAt(fd.get(), size_bytes, bytes));
    size_bytes += bytes.size();
  }
  if (::fchmod(fd.get(), entry.is_executable ? 0755 : 0644) != 0) return WriteStatus(errno, path);
  return size_bytes;
}

}  // namespace

absl::StatusOr<std::vector<UnpackedFile>> Unpack(int archive_fd, int folder_fd,
                                                 const UnpackLimits& limits, std::stop_token stop) {
  ASSIGN_OR_RETURN(ArchiveReader reader, ArchiveReader::Open(archive_fd, stop));
  TreeWriter tree(folder_fd);
  Budget budget(limits, reader.archive_bytes(), folder_fd);
  std::vector<UnpackedFile> files;
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<ArchiveEntry> entry, reader.Next());
    if (!entry) break;
    RETURN_IF_ERROR(budget.AddEntry());
    const absl::StatusOr<std::string> path = CheckedEntryPath(entry->path, entry->is_folder);
    if (!path.ok()) return Named(*entry, path.status());
    if (entry->is_folder) {
      RETURN_IF_ERROR(Named(*entry, tree.MakeFolder(*path)));
      continue;
    }
    const absl::StatusOr<std::uint64_t> size = WriteFile(reader, *entry, *path, tree, budget, stop);
    if (!size.ok()) return Named(*entry, size.status());
    files.push_back({.path = *path, .size_bytes = *size});
  }
  RETURN_IF_ERROR(tree.Keep());
  return files;
}

}  // namespace ncn::transfer
