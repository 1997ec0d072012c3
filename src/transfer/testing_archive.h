#pragma once

// In angle brackets, for the folder has an archive.h of its own.
#include <archive.h>
#include <archive_entry.h>
#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace ncn::transfer {

// For tests: an archive of whatever entries, those that may not be among them.

struct TestEntry {
  std::string path;
  std::string content = "content";
  mode_t type = AE_IFREG;
  mode_t mode = 0644;
  std::function<void(archive_entry*)> change = {};
};

enum class ArchiveFormat { kTarGz, kZip };

inline void WriteArchive(const std::filesystem::path& path, const std::vector<TestEntry>& entries,
                         ArchiveFormat format) {
  archive* out = archive_write_new();
  if (format == ArchiveFormat::kZip) {
    archive_write_set_format_zip(out);
  } else {
    archive_write_set_format_pax_restricted(out);
    archive_write_add_filter_gzip(out);
  }
  ASSERT_EQ(archive_write_open_filename(out, path.c_str()), ARCHIVE_OK);
  for (const TestEntry& test : entries) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, test.path.c_str());
    archive_entry_set_filetype(entry, test.type);
    archive_entry_set_perm(entry, test.mode);
    archive_entry_set_size(
        entry, static_cast<la_int64_t>(test.type == AE_IFREG ? test.content.size() : 0));
    if (test.change) test.change(entry);
    ASSERT_GE(archive_write_header(out, entry), ARCHIVE_WARN) << archive_error_string(out);
    if (archive_entry_size(entry) > 0) {
      archive_write_data(out, test.content.data(), test.content.size());
    }
    archive_entry_free(entry);
  }
  archive_write_close(out);
  archive_write_free(out);
}

}  // namespace ncn::transfer
