#include "rewind/memory_map.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <charconv>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "base/unique_fd.h"

namespace ncn::rewind {
namespace {

constexpr std::size_t kLayoutBytesMax = 64 << 20;

// PAGEMAP_SCAN of <linux/fs.h> since Linux 6.7; the headers here are older.
struct PageRegion {
  std::uint64_t start, end, categories;
};
struct ScanArguments {
  std::uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted,
      category_mask, category_anyof_mask, return_mask;
};
constexpr std::uint64_t kIsFile = 1 << 2, kIsPresent = 1 << 3, kIsSwapped = 1 << 4;
const unsigned long kPagemapScan = _IOWR('f', 16, ScanArguments);

absl::StatusOr<std::string> ReadProc(pid_t pid, std::string_view name) {
  const std::string path = base::StrCat("/proc/", pid, "/", name);
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return base::ErrnoStatus(errno, path);
  std::string text;
  std::size_t size = 0;
  while (true) {
    if (text.size() - size < 64 << 10) text.resize(text.size() + (256 << 10));
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::ErrnoStatus(errno, path);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
    if (size > kLayoutBytesMax) return absl::ResourceExhaustedError(path + " has no end");
  }
  text.resize(size);
  return text;
}

// Cuts `text` behind the next `separator` and returns what lay before it.
std::string_view Next(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view piece = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return piece;
}

template <typename Number>
bool Parse(std::string_view text, int base, Number* number) {
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, *number, base);
  return error == std::errc() && at == end;
}

}  // namespace

absl::StatusOr<std::string> ReadLayout(pid_t pid) { return ReadProc(pid, "maps"); }

absl::StatusOr<std::vector<Mapping>> ParseLayout(std::string_view text) {
  std::vector<Mapping> mappings;
  while (!text.empty()) {
    std::string_view line = Next(text, '\n');
    Mapping mapping;
    const bool addresses = Parse(Next(line, '-'), 16, &mapping.range.start) &&
                           Parse(Next(line, ' '), 16, &mapping.range.end);
    const std::string_view permissions = Next(line, ' ');
    const bool rest = Parse(Next(line, ' '), 16, &mapping.offset);
    mapping.device = Next(line, ' ');
    if (!addresses || !rest || permissions.size() != 4 ||
        !Parse(Next(line, ' '), 10, &mapping.inode) || mapping.range.start >= mapping.range.end) {
      return absl::DataLossError("a line of /proc/PID/maps is not of the kernel's form");
    }
    mapping.protection = (permissions[0] == 'r' ? PROT_READ : 0) |
                         (permissions[1] == 'w' ? PROT_WRITE : 0) |
                         (permissions[2] == 'x' ? PROT_EXEC : 0);
    mapping.shared = permissions[3] == 's';
    const std::size_t name = line.find_first_not_of(' ');
    if (name != std::string_view::npos) mapping.name = line.substr(name);
    mappings.push_back(std::move(mapping));
  }
  return mappings;
}

absl::StatusOr<std::vector<std::string>> ReadFlags(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string smaps, ReadProc(pid, "smaps"));
  std::vector<std::string> flags;
  std::string_view text = smaps;
  while (!text.empty()) {
    std::string_view line = Next(text, '\n');
    // File names stand in lines of their own and cannot begin like this.
    if (line.starts_with("VmFlags:")) flags.emplace_back(line.substr(line.find(':') + 1));
  }
  return flags;
}

absl::Status PageScanner::AnonymousPages(Range range, std::vector<Range>* found) const {
  return Pages(range, {.inverted = kIsFile, .all_of = kIsFile, .any_of = kIsPresent | kIsSwapped},
               found);
}

absl::Status PageScanner::PresentPages(Range range, std::vector<Range>* found) const {
  return Pages(range, {.all_of = kIsPresent}, found);
}

absl::StatusOr<bool> PageScanner::IsMapped(Range range) const {
  std::vector<Range> found;
  RETURN_IF_ERROR(Pages(range, {}, &found));
  return !found.empty();
}

absl::Status PageScanner::Pages(Range range, const Categories& wanted,
                                std::vector<Range>* found) const {
  std::array<PageRegion, 512> regions;
  ScanArguments scan{};
  scan.size = sizeof(scan);
  scan.vec = reinterpret_cast<std::uint64_t>(regions.data());
  scan.vec_len = std::min<std::uint64_t>(regions.size(), range.size() / kPageBytes);
  scan.category_inverted = wanted.inverted;
  scan.category_mask = wanted.all_of;
  scan.category_anyof_mask = wanted.any_of;
  scan.return_mask = kIsPresent;
  scan.end = range.end;
  for (scan.start = range.start; scan.start < range.end; scan.start = scan.walk_end) {
    const int filled = ::ioctl(pagemap_, kPagemapScan, &scan);
    if (filled < 0) return base::ErrnoStatus(errno, "PAGEMAP_SCAN");
    for (int i = 0; i < filled; ++i) {
      const PageRegion& region = regions[static_cast<std::size_t>(i)];
      if (!found->empty() && found->back().end == region.start) {
        found->back().end = region.end;
      } else {
        found->push_back({region.start, region.end});
      }
    }
    if (scan.walk_end <= scan.start) return absl::InternalError("PAGEMAP_SCAN makes no progress");
  }
  return absl::OkStatus();
}

}  // namespace ncn::rewind
