#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct archive;

namespace ncn::transfer {

// A file or folder of an archive.
struct ArchiveEntry {
  std::string path;  // As the archive has it.
  bool is_folder = false;
  bool is_executable = false;
};

// The entries of a tar.gz or zip archive, one after the other. Not thread-safe.
class ArchiveReader {
 public:
  // `fd` stays the caller's and outlives the reader, as does `stop`.
  static absl::StatusOr<ArchiveReader> Open(int fd, const std::stop_token& stop);
  ~ArchiveReader();
  ArchiveReader(ArchiveReader&&) noexcept;
  ArchiveReader& operator=(ArchiveReader&&) = delete;

  // Empty after the last. InvalidArgument names an entry that is neither file nor folder.
  absl::StatusOr<std::optional<ArchiveEntry>> Next();
  // What follows of the entry's content; empty at its end. Valid until the next call.
  absl::StatusOr<std::string_view> Read();

  std::uint64_t archive_bytes() const;

 private:
  struct Input;
  struct Free {
    void operator()(archive* reader) const;
  };

  explicit ArchiveReader(std::unique_ptr<Input> input);
  absl::Status Failure() const;

  std::unique_ptr<Input> input_;  // Before what reads it.
  std::unique_ptr<archive, Free> archive_;
  std::vector<char> buffer_;
};

}  // namespace ncn::transfer
