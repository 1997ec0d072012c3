// Archives come from anybody. Whatever they hold, nothing appears outside of the folder, nothing in
// it that a limit or a rule forbids, and a failure leaves it empty.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/unique_fd.h"
#include "transfer/archive.h"

namespace {

namespace fs = std::filesystem;

constexpr ncn::transfer::UnpackLimits kLimits = {
    .entries_max = 50, .bytes_max = 1 << 20, .ratio_max = 100, .ratio_free_bytes = 1 << 16};

// On a file system in memory where there is one.
fs::path MakeRoot() {
  std::string name = (fs::exists("/dev/shm") ? "/dev/shm" : "/tmp") + std::string("/unpack.XXXXXX");
  if (::mkdtemp(name.data()) == nullptr) std::abort();
  return name;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fs::path root = MakeRoot();
  const fs::path folder = root / "folder";
  fs::create_directory(folder);
  const ncn::base::UniqueFd archive(::memfd_create("archive", MFD_CLOEXEC));
  if (::write(archive.get(), data, size) != static_cast<ssize_t>(size)) std::abort();
  const ncn::base::UniqueFd folder_fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto files = ncn::transfer::Unpack(archive.get(), folder_fd.get(), kLimits);

  std::size_t entries = 0;
  std::uint64_t bytes = 0;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_symlink() || (!entry.is_regular_file() && !entry.is_directory())) std::abort();
    if (entry.path().filename() == ".ncn") std::abort();
    if (entry.is_regular_file()) {
      ++entries;
      bytes += entry.file_size();
    }
  }
  if (files.ok() && files->size() != entries) std::abort();
  if (!files.ok() && !fs::is_empty(folder)) std::abort();
  if (entries > kLimits.entries_max || bytes > kLimits.bytes_max) std::abort();
  for (const fs::directory_entry& entry : fs::directory_iterator(root)) {
    if (entry.path() != folder) std::abort();
  }
  fs::remove_all(root);
  return 0;
}
