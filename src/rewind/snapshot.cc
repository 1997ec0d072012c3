#include "rewind/snapshot.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "rewind/layout_repair.h"
#include "rewind/remote_calls.h"
#include "rewind/watched_calls.h"

namespace ncn::rewind {
namespace {

// What is read in place of pages that were empty at the snapshot: it stays in a cache.
constexpr std::uint64_t kZeroBytes = 64 << 10;
// A file mapping that may be written and has not been: copied up to here, beyond that left alone.
constexpr std::uint64_t kUnwrittenFileBytesMax = 4 << 20;
constexpr std::uint64_t kJoinGapBytes = 1 << 20;
constexpr std::uint64_t kTouchedGapBytes = 64 << 10;
constexpr std::uint64_t kLikelyBytes = 32 << 10;
constexpr std::size_t kCopiesMax = 2000;                       // Their table lies on the stack.
constexpr int kRestartBlock = 516, kRestartNoInterrupt = 513;  // ERESTART_*, kernel's own.

absl::StatusOr<std::vector<std::string>> ListProc(pid_t pid, std::string_view name) {
  const std::string path = base::StrCat("/proc/", pid, "/", name);
  const std::unique_ptr<DIR, decltype([](DIR* folder) { ::closedir(folder); })> folder(
      ::opendir(path.c_str()));
  if (!folder) return base::ErrnoStatus(errno, path);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(folder.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

std::optional<std::string> ReadLink(const std::string& path) {
  std::array<char, 4096> buffer;
  const ssize_t size = ::readlink(path.c_str(), buffer.data(), buffer.size());
  if (size < 0) return std::nullopt;
  return std::string(buffer.data(), static_cast<std::size_t>(size));
}

bool HasFlag(const std::string& flags, std::string_view flag) {
  return (flags + " ").find(base::StrCat(" ", flag, " ")) != std::string::npos;
}

absl::Status CheckDescriptors(const std::map<int, Descriptor>& descriptors) {
  for (const auto& [number, descriptor] : descriptors) {
    if (number == kHeldAt) return CannotRewind("a descriptor that is not watched is open");
    if (number <= STDERR_FILENO) continue;
    const std::string& target = descriptor.target;
    if (!target.starts_with('/')) {
      return CannotRewind(base::StrCat("descriptor ", number, " is ", target));
    }
    // Octal, as the kernel prints them.
    const std::size_t at = descriptor.info.find("flags:\t");
    const unsigned long flags =
        at == std::string::npos ? O_RDWR : std::stoul(descriptor.info.substr(at + 7), nullptr, 8);
    if ((flags & O_ACCMODE) != O_RDONLY) {
      return CannotRewind(base::StrCat("descriptor ", number, " can write to ", target));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CannotRewind(std::string_view what) {
  return absl::FailedPreconditionError(base::StrCat("cannot be rewound: ", what));
}

Range Common(const Range& a, const Range& b) {
  return {std::max(a.start, b.start), std::max(std::max(a.start, b.start), std::min(a.end, b.end))};
}

absl::StatusOr<std::map<int, Descriptor>> ReadDescriptors(pid_t pid) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListProc(pid, "fd"));
  std::map<int, Descriptor> descriptors;
  for (const std::string& name : names) {
    Descriptor descriptor;
    const std::string path = base::StrCat("/proc/", pid, "/fd/", name);
    struct stat file;
    const std::optional<std::string> target = ReadLink(path);
    if (!target || ::stat(path.c_str(), &file) != 0) {
      return CannotRewind("a descriptor is not shown");
    }
    descriptor.target = base::StrCat(*target, " ", file.st_dev, ":", file.st_ino);
    ASSIGN_OR_RETURN(descriptor.info,
                     base::ReadFile(base::StrCat("/proc/", pid, "/fdinfo/", name), 64 << 10));
    descriptors.emplace(std::stoi(name), std::move(descriptor));
  }
  return descriptors;
}

absl::Status CheckWaits(const ThreadState& state, int conversation) {
  const user_regs_struct& registers = state.registers;
  const bool listens = registers.orig_rax == SYS_read || registers.orig_rax == SYS_recvfrom;
  int unread = 0;
  if (!listens || static_cast<int>(registers.rdi) != kConversation ||
      ::ioctl(conversation, SIOCOUTQ, &unread) != 0 || unread != 0) {
    return absl::AbortedError("it does not wait for a request");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::uint64_t> FindInstruction(const ProcessMemory& memory,
                                              const std::vector<Mapping>& mappings) {
  const auto vdso = std::ranges::find(mappings, "[vdso]", &Mapping::name);
  if (vdso == mappings.end()) return CannotRewind("it has unmapped the kernel's code");
  std::string theirs(vdso->range.size(), '\0');
  RETURN_IF_ERROR(memory.Read(vdso->range.start, theirs.data(), theirs.size()));
  const std::uint64_t own = ::getauxval(AT_SYSINFO_EHDR);
  if (own == 0 || std::memcmp(At(own, 0).iov_base, theirs.data(), theirs.size()) != 0) {
    return CannotRewind("it has changed the kernel's code");
  }
  const std::size_t at = theirs.find("\x0f\x05");
  if (at == std::string::npos) return absl::UnimplementedError("no system call in the vDSO");
  return vdso->range.start + at;
}

Snapshot::~Snapshot() {
  if (image_at != nullptr) ::munmap(image_at, image_bytes);
}

absl::StatusOr<std::shared_ptr<Snapshot>> Snapshot::Take(StoppedProcess& process,
                                                         const ProcessMemory& memory,
                                                         int conversation) {
  const pid_t pid = process.pid();
  auto snapshot = std::make_shared<Snapshot>();
  RETURN_IF_ERROR(snapshot->SaveThreads(process));
  RETURN_IF_ERROR(CheckWaits(snapshot->threads[0], conversation));
  ASSIGN_OR_RETURN(snapshot->descriptors, ReadDescriptors(pid));
  RETURN_IF_ERROR(CheckDescriptors(snapshot->descriptors));
  RETURN_IF_ERROR(snapshot->ReplaceMemory(process, memory, conversation));
  const std::vector<pid_t> threads = process.threads();
  for (std::size_t i = 0; i < threads.size(); ++i) {
    RETURN_IF_ERROR(process.Restore(threads[i], snapshot->threads[i]));
  }
  ASSIGN_OR_RETURN(snapshot->layout, ReadLayout(pid));
  ASSIGN_OR_RETURN(snapshot->mappings, ParseLayout(snapshot->layout));
  snapshot->FindSpans();
  return snapshot;
}

absl::Status Snapshot::SaveThreads(const StoppedProcess& process) {
  ASSIGN_OR_RETURN(const std::vector<std::string> tasks, ListProc(process.pid(), "task"));
  const std::vector<pid_t> known = process.threads();
  if (tasks.size() != known.size()) return CannotRewind("it has child processes");
  for (const pid_t thread : known) {
    if (std::ranges::find(tasks, std::to_string(thread)) == tasks.end()) {
      return CannotRewind("it has child processes");
    }
    if (!absl::IsNotFound(process.PendingSignal(thread).status())) {
      return CannotRewind("a signal is pending");
    }
    ASSIGN_OR_RETURN(ThreadState state, process.Save(thread));
    // A wait with a time-out: what is left of it is the kernel's own memory, so it starts anew.
    if (state.registers.rax == static_cast<std::uint64_t>(-kRestartBlock)) {
      state.registers.rax = static_cast<std::uint64_t>(-kRestartNoInterrupt);
    }
    threads.push_back(std::move(state));
  }
  return absl::OkStatus();
}

absl::Status Snapshot::ReplaceMemory(StoppedProcess& process, const ProcessMemory& memory,
                                     int conversation) {
  ASSIGN_OR_RETURN(const std::string text, ReadLayout(process.pid()));
  ASSIGN_OR_RETURN(const std::vector<Mapping> found, ParseLayout(text));
  ASSIGN_OR_RETURN(const std::vector<std::string> flags, ReadFlags(process.pid()));
  if (flags.size() != found.size()) {
    return CannotRewind("its layout changes while it stands still");
  }
  ASSIGN_OR_RETURN(instruction, FindInstruction(memory, found));
  RETURN_IF_ERROR(Choose(memory, found, flags));
  RETURN_IF_ERROR(CopyMemory(memory, found));
  RemoteCalls calls(process, memory, instruction, threads[0].registers.rsp);
  RETURN_IF_ERROR(MapImage(calls, conversation, this));
  std::vector<Range> emptied = forgotten;
  for (const Mapping& mapping : found) {
    // From now on the tables show what requests touch of files, not what the load has read.
    const bool of_file = !mapping.anonymous() && !mapping.special() && !mapping.shared;
    if (of_file && PartAt(mapping.range.start) == nullptr) emptied.push_back(mapping.range);
  }
  for (const Range& range : emptied) {
    RETURN_IF_ERROR(calls.Expect(SYS_madvise, {range.start, range.size(), MADV_DONTNEED}, 0));
  }
  ASSIGN_OR_RETURN(const std::int64_t end, calls.Make(SYS_brk, {}));
  end_of_heap = static_cast<std::uint64_t>(end);
  return absl::OkStatus();
}

void Snapshot::FindSpans() {
  spans.clear();
  writable.clear();
  // From one of the kernel's own mappings to the next: holes cost nothing.
  bool joined = false;
  std::uint64_t below = 0;
  for (const Mapping& mapping : mappings) {
    if (!mapping.special() && (mapping.protection & PROT_WRITE) != 0) {
      const bool is_stack = mapping.range.end == stack.range.end;
      const Range range{is_stack ? below : mapping.range.start, mapping.range.end};
      // One look at a little more is cheaper than two.
      if (!writable.empty() && joined && range.start - writable.back().end <= kJoinGapBytes) {
        writable.back().end = range.end;
      } else {
        writable.push_back(range);
      }
    }
    below = mapping.range.end;
    if (joined && !mapping.special()) {
      spans.back().end = mapping.range.end;
    } else if (!mapping.special()) {
      spans.push_back(mapping.range);
    }
    joined = !mapping.special();
  }
}

absl::Status Snapshot::Choose(const ProcessMemory& memory, const std::vector<Mapping>& found,
                              const std::vector<std::string>& flags) {
  for (std::size_t i = 0; i < found.size(); ++i) {
    const Mapping& mapping = found[i];
    if (mapping.special()) continue;
    if (mapping.shared) {
      if (HasFlag(flags[i], "mw")) return CannotRewind("it shares memory that can be written");
      continue;
    }
    for (const std::string_view flag : {"lo", "um", "uw", "pf", "io"}) {
      if (HasFlag(flags[i], flag)) return CannotRewind(base::StrCat("memory with the flag ", flag));
    }
    if (HasFlag(flags[i], "wf")) {
      forgotten.push_back(mapping.range);
      continue;
    }
    std::vector<Range> own;
    RETURN_IF_ERROR(memory.OwnPages(mapping.range, &own));
    if (mapping.name == "[stack]") {
      stack.range = mapping.range;
      stack.pages = std::move(own);
      continue;
    }
    if (HasFlag(flags[i], "gd")) return CannotRewind("a second stack that grows by itself");
    if (mapping.name == "[vdso]") continue;
    const bool may_write = (mapping.protection & PROT_WRITE) != 0;
    const bool small = mapping.anonymous() || mapping.range.size() <= kUnwrittenFileBytesMax;
    if (own.empty() && !(may_write && small)) continue;
    parts.push_back({mapping.range, mapping.protection, image_bytes});
    image_bytes += mapping.range.size();
  }
  if (stack.range.size() == 0) return CannotRewind("it has no stack");
  return absl::OkStatus();
}

absl::Status Snapshot::CopyPart(const ProcessMemory& memory, const ImagedPart& part,
                                const Mapping& mapping, char* to) {
  const auto copy = [&](Range range) {
    return memory.Read(range.start, to + (range.start - part.range.start), range.size());
  };
  if (mapping.anonymous()) {
    std::vector<Range> own;
    RETURN_IF_ERROR(memory.OwnPages(part.range, &own));
    for (const Range& range : own) RETURN_IF_ERROR(copy(range));
    filled.insert(filled.end(), own.begin(), own.end());
    return absl::OkStatus();
  }
  filled.push_back(part.range);
  // Its last page may lie behind the end of the file.
  for (std::uint64_t at = part.range.start; at < part.range.end; at += kPageBytes) {
    if (!copy({at, at + kPageBytes}).ok()) {
      return CannotRewind(base::StrCat("memory behind the end of ", mapping.name));
    }
  }
  return absl::OkStatus();
}

absl::Status Snapshot::CopyMemory(const ProcessMemory& memory, const std::vector<Mapping>& found) {
  image.reset(::memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!image.valid()) return base::ErrnoStatus(errno, "memfd_create");
  loop_offset = image_bytes;
  image_bytes += kPageBytes + kZeroBytes;
  if (::ftruncate(image.get(), static_cast<off_t>(image_bytes)) != 0) {
    return base::ErrnoStatus(errno, "the size of a snapshot's image");
  }
  void* const space =
      ::mmap(nullptr, image_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, image.get(), 0);
  if (space == MAP_FAILED) return base::ErrnoStatus(errno, "mapping a snapshot's image");
  std::ranges::copy(kLoops, static_cast<unsigned char*>(space) + loop_offset);
  absl::Status status;
  for (const ImagedPart& part : parts) {
    const auto mapping = std::ranges::find(found, part.range, &Mapping::range);
    status = CopyPart(memory, part, *mapping, static_cast<char*>(space) + part.offset);
    if (!status.ok()) break;
  }
  ::munmap(space, image_bytes);
  RETURN_IF_ERROR(status);
  for (const Range& range : stack.pages) {
    const std::size_t at = stack.bytes.size();
    stack.bytes.resize(at + range.size());
    RETURN_IF_ERROR(memory.Read(range.start, &stack.bytes[at], range.size()));
  }
  constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (::fcntl(image.get(), F_ADD_SEALS, kSeals) != 0) {
    return base::ErrnoStatus(errno, "sealing a snapshot's image");
  }
  void* const readable = ::mmap(nullptr, image_bytes, PROT_READ, MAP_SHARED, image.get(), 0);
  if (readable == MAP_FAILED) return base::ErrnoStatus(errno, "mapping a snapshot's image");
  image_at = static_cast<char*>(readable);
  return absl::OkStatus();
}

const ImagedPart* Snapshot::PartAt(std::uint64_t address) const {
  auto after = std::ranges::upper_bound(parts, address, {},
                                        [](const ImagedPart& part) { return part.range.start; });
  if (after == parts.begin()) return nullptr;
  --after;
  return address < after->range.end ? &*after : nullptr;
}

std::uint64_t Snapshot::memory_bytes() const {
  struct stat file;
  return ::fstat(image.get(), &file) == 0 ? static_cast<std::uint64_t>(file.st_blocks) * 512 : 0;
}

void Snapshot::Learn(const std::vector<Range>& own) {
  learned.clear();
  learned_here.clear();
  learned_there.clear();
  copies.clear();
  learned_pages = 0;
  for (const Range& range : own) {
    for (std::uint64_t at = range.start; at < range.end;) {
      const ImagedPart* const part = PartAt(at);
      if (part == nullptr || (part->protection & PROT_WRITE) == 0) {
        at += kPageBytes;
        continue;
      }
      const Range common = Common({at, range.end}, part->range);
      LearnRange(common, *part);
      at = common.end;
    }
  }
  if (loop == 0) copies.clear();
  copies.resize(std::min(copies.size(), kCopiesMax));
  // What is written for the loops is below the stack, and becomes part of it.
  const std::uint64_t stack_pointer = threads[0].registers.rsp;
  const std::uint64_t tables = RoomBelow(stack_pointer, RemoteCalls::TableBytes(copies.size()));
  if (tables < stack.range.start) {
    loop = 0;
    copies.clear();
  }
  std::vector<Range> stack_pages = own;
  if (loop != 0) stack_pages.push_back({tables / kPageBytes * kPageBytes, stack_pointer});
  LearnStack(std::move(stack_pages));
}

void Snapshot::LearnRange(const Range& range, const ImagedPart& part) {
  learned.push_back(range);
  learned_pages += range.size() / kPageBytes;
  auto next = std::ranges::upper_bound(filled, range.start, {}, &Range::end);
  for (std::uint64_t at = range.start, end = 0; at < range.end; at = end) {
    if (next != filled.end() && next->end <= at) ++next;
    const bool empty = next == filled.end() || at < next->start;
    if (empty) {
      end = std::min(at + kZeroBytes, next == filled.end() ? range.end : next->start);
    } else {
      end = next->end;
    }
    end = std::min(end, range.end);
    const std::uint64_t offset =
        empty ? loop_offset + kPageBytes : part.offset + (at - part.range.start);
    learned_here.push_back({image_at + offset, end - at});
    learned_there.push_back(At(at, end - at));
    copies.push_back({at, view + offset, end - at});
  }
}

void Snapshot::Widen(const std::vector<Range>& ranges, std::vector<Range>* widened) const {
  std::vector<Range> blocks = *widened;
  for (const Range& range : ranges) {
    const Range block{range.start / kLikelyBytes * kLikelyBytes,
                      (range.end + kLikelyBytes - 1) / kLikelyBytes * kLikelyBytes};
    for (const Range& within : writable) {
      if (const Range common = Common(block, within); common.size() > 0) blocks.push_back(common);
    }
  }
  std::ranges::sort(blocks, {}, &Range::start);
  widened->clear();
  for (const Range& block : blocks) {
    if (!widened->empty() && block.start <= widened->back().end) {
      widened->back().end = std::max(widened->back().end, block.end);
    } else {
      widened->push_back(block);
    }
  }
}

void Snapshot::LearnTouched(const std::vector<Range>& present) {
  touched.clear();
  auto page = present.begin();
  for (const Mapping& mapping : mappings) {
    const bool kernels = mapping.special() || mapping.name == "[vdso]";
    if (kernels || (mapping.protection & PROT_READ) == 0) continue;
    while (page != present.end() && page->end <= mapping.range.start) ++page;
    bool first = true;
    for (auto next = page; next != present.end() && next->start < mapping.range.end; ++next) {
      const Range common = Common(*next, mapping.range);
      // The kernel maps a few pages around each that is asked for, anyway.
      if (!first && common.start - touched.back().end <= kTouchedGapBytes) {
        touched.back().end = common.end;
      } else {
        touched.push_back(common);
      }
      first = false;
    }
  }
}

void Snapshot::LearnStack(std::vector<Range> own) {
  StackCopy learned_stack{.range = stack.range, .pages = {}, .bytes = {}};
  std::ranges::sort(own, {}, &Range::start);
  for (const Range& range : own) {
    Range part = Common(range, stack.range);
    part.end = (part.end + kPageBytes - 1) / kPageBytes * kPageBytes;
    if (!learned_stack.pages.empty()) {
      part.start = std::max(part.start, learned_stack.pages.back().end);
    }
    if (part.start >= part.end) continue;
    learned_stack.pages.push_back(part);
    std::string bytes(part.size(), '\0');  // What was not there was zero.
    std::uint64_t from = 0;
    for (const Range& had : stack.pages) {
      const Range both = Common(part, had);
      std::memcpy(&bytes[both.size() > 0 ? both.start - part.start : 0],
                  stack.bytes.data() + from + (both.size() > 0 ? both.start - had.start : 0),
                  both.size());
      from += had.size();
    }
    learned_stack.bytes += bytes;
  }
  stack = std::move(learned_stack);
}

}  // namespace ncn::rewind
