// What torch.save and torch.jit.save write. Of a zip archive only the names in its directory are
// read; of a pickle only its first bytes.
#include <algorithm>

#include "base/strings.h"
#include "models/content.h"

namespace ncn::models {
namespace {

constexpr std::string_view kLocalHeader("PK\x03\x04", 4);
constexpr std::string_view kEntry("PK\x01\x02", 4);
constexpr std::string_view kEnd("PK\x05\x06", 4);
constexpr std::string_view kEnd64("PK\x06\x06", 4);
constexpr std::string_view kEnd64Locator("PK\x06\x07", 4);
constexpr std::size_t kEntryBytes = 46;
constexpr std::size_t kEndBytes = 22;
constexpr std::size_t kEnd64Bytes = 56;
constexpr std::size_t kEnd64LocatorBytes = 20;
constexpr std::size_t kCommentBytesMax = 0xffff;
constexpr std::uint64_t kDirectoryBytesMax = 16 << 20;
// The number that torch.save pickled first before it wrote archives, with the pickle opcode before.
constexpr std::string_view kPickleMagic("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 12);

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(base::StrCat("a zip archive ", what));
}

struct Directory {
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
};

// Finds the directory through the record at the archive's very end.
absl::StatusOr<Directory> FindDirectory(const FileView& file) {
  const std::uint64_t tail_bytes =
      std::min<std::uint64_t>(file.size_bytes(), kEndBytes + kCommentBytesMax + kEnd64LocatorBytes);
  const std::uint64_t tail_offset = file.size_bytes() - tail_bytes;
  const std::string tail = file.Read(tail_offset, static_cast<std::size_t>(tail_bytes));
  for (std::size_t at = tail.rfind(kEnd); at != std::string::npos;
       at = at == 0 ? std::string::npos : tail.rfind(kEnd, at - 1)) {
    if (tail.size() - at < kEndBytes ||
        at + kEndBytes + LittleEndian<std::uint16_t>(tail, at + 20) != tail.size()) {
      continue;
    }
    Directory directory = {.offset = LittleEndian<std::uint32_t>(tail, at + 16),
                           .size_bytes = LittleEndian<std::uint32_t>(tail, at + 12)};
    if (at >= kEnd64LocatorBytes &&
        tail.compare(at - kEnd64LocatorBytes, kEnd64Locator.size(), kEnd64Locator) == 0) {
      const std::string end =
          file.Read(LittleEndian<std::uint64_t>(tail, at - kEnd64LocatorBytes + 8), kEnd64Bytes);
      if (end.size() != kEnd64Bytes || !end.starts_with(kEnd64)) {
        return Damaged("whose end record for large files is missing");
      }
      directory = {.offset = LittleEndian<std::uint64_t>(end, 48),
                   .size_bytes = LittleEndian<std::uint64_t>(end, 40)};
    }
    return directory;
  }
  return Damaged("without the directory at its end, so it is truncated");
}

absl::StatusOr<ModelFormat> RecognizeArchive(const FileView& file) {
  const absl::StatusOr<Directory> directory = FindDirectory(file);
  if (!directory.ok()) return directory.status();
  if (directory->size_bytes > kDirectoryBytesMax) {
    return Damaged(base::StrCat("with a directory of more than ", kDirectoryBytesMax, " bytes"));
  }
  const std::string entries =
      file.Read(directory->offset, static_cast<std::size_t>(directory->size_bytes));
  if (entries.size() != directory->size_bytes)
    return Damaged("whose directory lies beyond its end");

  bool has_code = false;
  bool has_data = false;
  for (std::string_view rest = entries; !rest.empty();) {
    if (rest.size() < kEntryBytes || !rest.starts_with(kEntry)) {
      return Damaged("with a damaged directory");
    }
    const std::size_t name_bytes = LittleEndian<std::uint16_t>(rest, 28);
    const std::size_t entry_bytes = kEntryBytes + name_bytes +
                                    LittleEndian<std::uint16_t>(rest, 30) +
                                    LittleEndian<std::uint16_t>(rest, 32);
    if (rest.size() < entry_bytes) return Damaged("with a damaged directory");
    // Below the one folder that torch makes: code/… and constants.pkl, or just data.pkl.
    std::string_view name = rest.substr(kEntryBytes, name_bytes);
    name.remove_prefix(std::min(name.size(), name.find('/') + 1));
    has_code |= name == "constants.pkl" || name.starts_with("code/");
    has_data |= name == "data.pkl";
    rest.remove_prefix(entry_bytes);
  }
  if (!has_data) {
    return absl::InvalidArgumentError(
        "a zip archive that neither torch.save nor torch.jit.save wrote");
  }
  return has_code ? ModelFormat::kTorchScript : ModelFormat::kTorchCheckpoint;
}

}  // namespace

Recognition RecognizeTorch(const FileView& file) {
  const std::string head = file.Read(0, 2 + kPickleMagic.size());
  if (head.starts_with(kLocalHeader)) return RecognizeArchive(file);
  if (head.size() < 2 || head[0] != '\x80' || head[1] < 2 || head[1] > 5) return std::nullopt;
  if (std::string_view(head).substr(2) == kPickleMagic) return ModelFormat::kTorchCheckpoint;
  return absl::InvalidArgumentError("a Python pickle that torch.save did not write");
}

}  // namespace ncn::models
