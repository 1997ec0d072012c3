#include "transfer/archive_reader.h"

// In angle brackets, for the folder has an archive.h of its own.
#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/errno_status.h"
#include "base/strings.h"

namespace ncn::transfer {
namespace {

constexpr std::size_t kBufferBytes = 256 * 1024;

// Fit for a message: printable ASCII, and not long.
std::string Printable(std::string_view text) {
  constexpr std::size_t kBytesMax = 200;
  std::string printable(text.substr(0, kBytesMax));
  std::replace_if(
      printable.begin(), printable.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text.size() > kBytesMax ? printable + "..." : printable;
}

}  // namespace

// The archive's file, for libarchive's callbacks.
struct ArchiveReader::Input {
  int fd = -1;
  std::uint64_t size_bytes = 0;
  std::stop_token stop;
  std::int64_t offset = 0;
  std::vector<char> buffer = std::vector<char>(kBufferBytes);

  static la_ssize_t Read(archive* reader, void* self, const void** data) {
    auto& input = *static_cast<Input*>(self);
    if (input.stop.stop_requested()) {
      archive_set_error(reader, ECANCELED, "stopped");
      return -1;
    }
    *data = input.buffer.data();
    while (true) {
      const ssize_t got = ::pread(input.fd, input.buffer.data(), input.buffer.size(), input.offset);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) archive_set_error(reader, errno, "cannot be read");
      input.offset += std::max<ssize_t>(got, 0);
      return got;
    }
  }

  static la_int64_t Seek(archive*, void* self, la_int64_t offset, int whence) {
    auto& input = *static_cast<Input*>(self);
    const auto size = static_cast<std::int64_t>(input.size_bytes);
    const std::int64_t base = whence == SEEK_CUR ? input.offset : whence == SEEK_END ? size : 0;
    if (offset < -base || offset > size - base) return ARCHIVE_FATAL;
    input.offset = base + offset;
    return input.offset;
  }
};

void ArchiveReader::Free::operator()(archive* reader) const { archive_read_free(reader); }

ArchiveReader::ArchiveReader(std::unique_ptr<Input> input)
    : input_(std::move(input)), archive_(archive_read_new()), buffer_(kBufferBytes) {
  NCN_CHECK(archive_ != nullptr);
}
ArchiveReader::~ArchiveReader() = default;
ArchiveReader::ArchiveReader(ArchiveReader&&) noexcept = default;

std::uint64_t ArchiveReader::archive_bytes() const { return input_->size_bytes; }

absl::StatusOr<ArchiveReader> ArchiveReader::Open(int fd, const std::stop_token& stop) {
  struct stat info;
  if (::fstat(fd, &info) != 0) return base::ErrnoStatus(errno, "archive");
  char magic[4] = {};
  if (!S_ISREG(info.st_mode) || ::pread(fd, magic, sizeof(magic), 0) < 0) {
    return absl::InvalidArgumentError("the archive is not a regular file");
  }
  auto input = std::make_unique<Input>();
  input->fd = fd;
  input->size_bytes = static_cast<std::uint64_t>(info.st_size);
  input->stop = stop;
  ArchiveReader reader(std::move(input));
  archive* const raw = reader.archive_.get();
  const std::string_view begin(magic, sizeof(magic));
  if (begin.starts_with("\x1f\x8b")) {
    archive_read_support_filter_gzip(raw);
    archive_read_support_format_tar(raw);
  } else if (begin.starts_with("PK")) {
    // By the directory at its end, as every other program reads it.
    archive_read_support_format_zip_seekable(raw);
  } else {
    return absl::InvalidArgumentError("the archive is neither tar.gz nor zip");
  }
  archive_read_set_callback_data(raw, reader.input_.get());
  archive_read_set_read_callback(raw, &Input::Read);
  archive_read_set_seek_callback(raw, &Input::Seek);
  if (archive_read_open1(raw) != ARCHIVE_OK) return reader.Failure();
  return reader;
}

absl::Status ArchiveReader::Failure() const {
  if (input_->stop.stop_requested()) return absl::CancelledError("stopped");
  const char* why = archive_error_string(archive_.get());
  return absl::InvalidArgumentError(
      base::StrCat("the archive is damaged: ", Printable(why != nullptr ? why : "unknown error")));
}

absl::StatusOr<std::optional<ArchiveEntry>> ArchiveReader::Next() {
  archive_entry* entry = nullptr;
  const int code = archive_read_next_header(archive_.get(), &entry);
  if (code == ARCHIVE_EOF) return std::nullopt;
  // A warning is about what is not used here, such as a name in another encoding.
  if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return Failure();
  const char* path = archive_entry_pathname(entry);
  if (path == nullptr) path = archive_entry_pathname_utf8(entry);
  if (path == nullptr) return absl::InvalidArgumentError("an entry's name cannot be decoded");
  const auto refused = [&](std::string_view what) {
    return absl::InvalidArgumentError(base::StrCat("entry '", Printable(path), "' ", what));
  };
  if (archive_entry_hardlink(entry) != nullptr) return refused("is a hard link");
  if (archive_entry_symlink(entry) != nullptr || archive_entry_filetype(entry) == AE_IFLNK) {
    return refused("is a symbolic link");
  }
  const bool is_folder = archive_entry_filetype(entry) == AE_IFDIR;
  if (!is_folder && archive_entry_filetype(entry) != AE_IFREG) {
    return refused("is neither a file nor a folder");
  }
  if (archive_entry_sparse_count(entry) > 0) return refused("is a sparse file");
  if (archive_entry_is_encrypted(entry) != 0) return refused("is encrypted");
  return ArchiveEntry{.path = path,
                      .is_folder = is_folder,
                      .is_executable = (archive_entry_perm(entry) & 0100) != 0};
}

absl::StatusOr<std::string_view> ArchiveReader::Read() {
  const la_ssize_t got = archive_read_data(archive_.get(), buffer_.data(), buffer_.size());
  if (got < 0) return Failure();
  return std::string_view(buffer_.data(), static_cast<std::size_t>(got));
}

}  // namespace ncn::transfer
