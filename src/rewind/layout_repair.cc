#include "rewind/layout_repair.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::rewind {
namespace {

using Call = RemoteCalls::Call;

constexpr int kNoDescriptor = -1;
constexpr char kImageName[] = "/memfd:snapshot (deleted)";
constexpr std::uint64_t kAddressesEnd = 1ULL << 47;

Call Unmap(const Range& range) { return {SYS_munmap, {range.start, range.size()}, 0}; }

Call Map(const Range& range, int protection, int flags, int descriptor, std::uint64_t offset) {
  return {SYS_mmap,
          {range.start, range.size(), static_cast<std::uint64_t>(protection),
           static_cast<std::uint64_t>(flags | MAP_FIXED | MAP_NORESERVE),
           static_cast<std::uint64_t>(descriptor), offset},
          range.start};
}

Call MapPart(const ImagedPart& part, int image) {
  return Map(part.range, part.protection, MAP_PRIVATE, image, part.offset);
}

// Of ranges in ascending order, the first that reaches beyond an address.
template <typename Ranged>
auto FirstEndingBehind(const std::vector<Ranged>& ranged, std::uint64_t address) {
  return std::ranges::upper_bound(ranged, address, {},
                                  [](const Ranged& one) { return one.range.end; });
}

// What the layout of one process lacks of a snapshot's, and has beyond it.
class Repair {
 public:
  Repair(RemoteCalls& calls, const Snapshot& snapshot, std::vector<Mapping> found)
      : calls_(calls), snapshot_(snapshot), found_(std::move(found)) {}

  // How many mappings it repaired.
  absl::StatusOr<std::uint32_t> Do(int conversation, bool much) {
    ASSIGN_OR_RETURN(image_, calls_.HandOver(snapshot_.image.get(), conversation));
    std::uint64_t loop = 0;
    if (much) {
      ASSIGN_OR_RETURN(loop, calls_.MapLoop(image_, snapshot_.loop_offset, FreeAddress()));
    }
    RemoveNew();
    RETURN_IF_ERROR(MapLost());
    if (much) Populate();
    RETURN_IF_ERROR(calls_.ExpectAll(todo_));
    if (loop != 0) RETURN_IF_ERROR(calls_.UnmapLoop());
    RETURN_IF_ERROR(calls_.Close(image_));
    for (const auto& [path, number] : files_) RETURN_IF_ERROR(calls_.Close(number));
    return repaired_;
  }

 private:
  // What is new goes, and with it what took the place of something of the snapshot.
  void RemoveNew() {
    for (const Mapping& mapping : found_) {
      if (mapping.special()) continue;
      std::uint64_t at = mapping.range.start;
      for (auto own = FirstEndingBehind(snapshot_.mappings, at);
           own != snapshot_.mappings.end() && own->range.start < mapping.range.end; ++own) {
        const Range common = Common(own->range, mapping.range);
        Remove(at, common.start);
        at = common.end;
      }
      Remove(at, mapping.range.end);
    }
  }

  void Remove(std::uint64_t start, std::uint64_t end) {
    if (end <= start) return;
    ++repaired_;
    todo_.push_back(Unmap({start, end}));
  }

  absl::Status MapLost() {
    for (const Mapping& own : snapshot_.mappings) {
      const auto same = FirstEndingBehind(found_, own.range.start);
      if (same != found_.end() && same->SameBacking(own) && same->protection == own.protection) {
        continue;
      }
      ++repaired_;
      // Adjacent parts of the image are one mapping of the kernel's.
      const std::size_t before = todo_.size();
      for (auto part = FirstEndingBehind(snapshot_.parts, own.range.start);
           part != snapshot_.parts.end() && part->range.start < own.range.end; ++part) {
        todo_.push_back(MapPart(*part, image_));
      }
      if (todo_.size() == before) RETURN_IF_ERROR(MapAgain(own));
    }
    return absl::OkStatus();
  }

  // The pages that requests touch, so that the first one does not have to fault for them.
  void Populate() {
    const auto populate = [&](const std::vector<Range>& ranges, std::uint64_t how) {
      for (const Range& range : ranges) {
        todo_.push_back({SYS_madvise, {range.start, range.size(), how}, 0});
      }
    };
    populate(snapshot_.learned, MADV_POPULATE_WRITE);
    populate(snapshot_.touched, MADV_POPULATE_READ);
  }

  // Something that the image does not hold.
  absl::Status MapAgain(const Mapping& own) {
    const int flags = own.shared ? MAP_SHARED : MAP_PRIVATE;
    if (own.name == kImageName) {
      todo_.push_back(Map(own.range, own.protection, flags, image_, own.offset));
    } else if (own.anonymous() && own.name.empty()) {
      todo_.push_back(Map(own.range, own.protection, flags | MAP_ANONYMOUS, kNoDescriptor, 0));
    } else if (own.anonymous() || IsThereInPieces(own)) {
      // Perhaps with other permissions; or it is something else, which the comparison of the
      // layouts tells.
      todo_.push_back(
          {SYS_mprotect,
           {own.range.start, own.range.size(), static_cast<std::uint64_t>(own.protection)},
           0});
    } else {
      // Whether this is the very file, the comparison tells, too.
      if (!files_.contains(own.name)) {
        ASSIGN_OR_RETURN(files_[own.name], calls_.Open(own.name));
      }
      todo_.push_back(Map(own.range, own.protection, flags, files_[own.name], own.offset));
    }
    return absl::OkStatus();
  }

  // In the middle of the largest hole that both layouts have.
  std::uint64_t FreeAddress() const {
    std::vector<Range> ranges;
    for (const Mapping& mapping : found_) ranges.push_back(mapping.range);
    for (const Mapping& mapping : snapshot_.mappings) ranges.push_back(mapping.range);
    std::ranges::sort(ranges, {}, &Range::start);
    Range hole;
    std::uint64_t below = ranges.front().end;
    for (const Range& range : ranges) {
      // The kernel's own page at the end of all addresses is beyond what can be mapped.
      const bool larger = range.start > below && range.start - below > hole.size();
      if (larger && range.end < kAddressesEnd) hole = {below, range.start};
      below = std::max(below, range.end);
    }
    return (hole.start + hole.size() / 2) / kPageBytes * kPageBytes;
  }

  bool IsThereInPieces(const Mapping& own) const {
    std::uint64_t there = 0;
    for (const Mapping& mapping : found_) {
      const bool same = mapping.device == own.device && mapping.inode == own.inode &&
                        mapping.shared == own.shared &&
                        mapping.range.start - mapping.offset == own.range.start - own.offset;
      if (same) there += Common(mapping.range, own.range).size();
    }
    return there == own.range.size();
  }

  RemoteCalls& calls_;
  const Snapshot& snapshot_;
  const std::vector<Mapping> found_;
  int image_ = kNoDescriptor;         // In the process.
  std::map<std::string, int> files_;  // The same, by path.
  std::vector<Call> todo_;
  std::uint32_t repaired_ = 0;
};

}  // namespace

absl::Status MapImage(RemoteCalls& calls, int conversation, Snapshot* snapshot) {
  ASSIGN_OR_RETURN(const int image, calls.HandOver(snapshot->image.get(), conversation));
  ASSIGN_OR_RETURN(snapshot->loop, calls.MapLoop(image, snapshot->loop_offset, 0));
  std::vector<Call> todo;
  for (const ImagedPart& part : snapshot->parts) todo.push_back(MapPart(part, image));
  RETURN_IF_ERROR(calls.ExpectAll(todo));
  if (snapshot->loop != 0) {
    ASSIGN_OR_RETURN(const std::int64_t view,
                     calls.Make(SYS_mmap, {0, snapshot->image_bytes, PROT_READ, MAP_PRIVATE,
                                           static_cast<std::uint64_t>(image), 0}));
    if (view < 0) return CannotRewind("there is no room for a second view of its memory");
    snapshot->view = static_cast<std::uint64_t>(view);
  }
  return calls.Close(image);
}

absl::Status RepairLayout(RemoteCalls& calls, const Snapshot& snapshot, pid_t pid, int conversation,
                          bool much, std::uint32_t* repaired) {
  ASSIGN_OR_RETURN(std::string text, ReadLayout(pid));
  if (text == snapshot.layout) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::vector<Mapping> found, ParseLayout(text));
  ASSIGN_OR_RETURN(const std::uint32_t count,
                   Repair(calls, snapshot, std::move(found)).Do(conversation, much));
  *repaired += count;
  ASSIGN_OR_RETURN(text, ReadLayout(pid));
  if (text != snapshot.layout) return CannotRewind("its layout cannot be restored");
  return absl::OkStatus();
}

}  // namespace ncn::rewind
