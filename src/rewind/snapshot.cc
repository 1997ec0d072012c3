#include "rewind/snapshot.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
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
#include "rewind/watched_calls.h"

namespace ncn::rewind {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kVectorsMax = 1024;  // IOV_MAX
// A file mapping that may be written and has not been: copied up to here, beyond that left alone.
constexpr std::uint64_t kUnwrittenFileBytesMax = 4 << 20;
constexpr std::uint64_t kDropGapBytes = 256 << 10;
// Further down the stack than any code writes without moving its pointer.
constexpr std::uint64_t kRedZoneBytes = 128;
constexpr int kRestartBlock = 516, kRestartNoInterrupt = 513;  // ERESTART_*, kernel's own.

absl::Status Cannot(std::string_view what) {
  return absl::FailedPreconditionError(base::StrCat("cannot be rewound: ", what));
}

absl::StatusOr<base::UniqueFd> OpenProc(pid_t pid, std::string_view name, int flags) {
  const std::string path = base::StrCat("/proc/", pid, "/", name);
  base::UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC));
  if (!fd.valid()) return base::ErrnoStatus(errno, path);
  return fd;
}

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

absl::Status WriteVectors(pid_t pid, const std::vector<iovec>& here,
                          const std::vector<iovec>& there) {
  for (std::size_t at = 0; at < here.size(); at += kVectorsMax) {
    const std::size_t count = std::min(kVectorsMax, here.size() - at);
    std::size_t wanted = 0;
    for (std::size_t i = at; i < at + count; ++i) wanted += here[i].iov_len;
    const ssize_t written = ::process_vm_writev(pid, &here[at], count, &there[at], count, 0);
    if (written < 0) return base::ErrnoStatus(errno, "process_vm_writev");
    if (static_cast<std::size_t>(written) != wanted) {
      return Cannot("a page that it wrote can no longer be written");
    }
  }
  return absl::OkStatus();
}

iovec At(std::uint64_t address, std::uint64_t size) {
  return {reinterpret_cast<void*>(address), size};  // NOLINT(performance-no-int-to-ptr)
}

// What the two share.
Range Common(const Range& a, const Range& b) {
  return {std::max(a.start, b.start), std::max(std::max(a.start, b.start), std::min(a.end, b.end))};
}

bool HasFlag(const std::string& flags, std::string_view flag) {
  return (flags + " ").find(base::StrCat(" ", flag, " ")) != std::string::npos;
}

}  // namespace

Snapshot::~Snapshot() {
  if (image_bytes_at_ != nullptr) ::munmap(image_bytes_at_, image_bytes_);
}

absl::StatusOr<std::unique_ptr<Snapshot>> Snapshot::Take(StoppedProcess& process,
                                                         int conversation) {
  const pid_t pid = process.pid();
  std::unique_ptr<Snapshot> snapshot(new Snapshot);
  ASSIGN_OR_RETURN(snapshot->memory_, OpenProc(pid, "mem", O_RDWR));
  ASSIGN_OR_RETURN(snapshot->pagemap_, OpenProc(pid, "pagemap", O_RDONLY));
  RETURN_IF_ERROR(snapshot->SaveThreads(process));
  const user_regs_struct& waiting = snapshot->states_[0].registers;
  const bool listens = waiting.orig_rax == SYS_read || waiting.orig_rax == SYS_recvfrom;
  int unread = 0;
  if (!listens || static_cast<int>(waiting.rdi) != kConversation ||
      ::ioctl(conversation, SIOCOUTQ, &unread) != 0 || unread != 0) {
    return absl::AbortedError("it does not wait for a request");
  }
  ASSIGN_OR_RETURN(snapshot->descriptors_, ReadDescriptors(pid));
  RETURN_IF_ERROR(CheckDescriptors(snapshot->descriptors_));
  RETURN_IF_ERROR(snapshot->ReplaceMemory(process, conversation));
  for (std::size_t i = 0; i < snapshot->threads_.size(); ++i) {
    RETURN_IF_ERROR(process.Restore(snapshot->threads_[i], snapshot->states_[i]));
  }
  ASSIGN_OR_RETURN(snapshot->layout_, ReadLayout(pid));
  ASSIGN_OR_RETURN(snapshot->mappings_, ParseLayout(snapshot->layout_));
  snapshot->FindSpans();
  return snapshot;
}

absl::Status Snapshot::SaveThreads(const StoppedProcess& process) {
  ASSIGN_OR_RETURN(const std::vector<std::string> tasks, ListProc(process.pid(), "task"));
  threads_ = process.threads();
  if (tasks.size() != threads_.size()) return Cannot("it has child processes");
  for (const pid_t thread : threads_) {
    if (std::ranges::find(tasks, std::to_string(thread)) == tasks.end()) {
      return Cannot("it has child processes");
    }
    if (!absl::IsNotFound(process.PendingSignal(thread).status())) {
      return Cannot("a signal is pending");
    }
    ASSIGN_OR_RETURN(ThreadState state, process.Save(thread));
    // A wait with a time-out: what is left of it is the kernel's own memory, so it starts anew.
    if (state.registers.rax == static_cast<std::uint64_t>(-kRestartBlock)) {
      state.registers.rax = static_cast<std::uint64_t>(-kRestartNoInterrupt);
    }
    states_.push_back(std::move(state));
  }
  return absl::OkStatus();
}

absl::Status Snapshot::ReplaceMemory(StoppedProcess& process, int conversation) {
  ASSIGN_OR_RETURN(const std::string text, ReadLayout(process.pid()));
  ASSIGN_OR_RETURN(const std::vector<Mapping> mappings, ParseLayout(text));
  ASSIGN_OR_RETURN(const std::vector<std::string> flags, ReadFlags(process.pid()));
  if (flags.size() != mappings.size()) return Cannot("its layout changes while it stands still");
  RETURN_IF_ERROR(FindInstruction(mappings));
  RETURN_IF_ERROR(Choose(mappings, flags));
  RETURN_IF_ERROR(CopyMemory(mappings));
  std::vector<const Imaged*> all;
  for (const Imaged& imaged : imaged_) all.push_back(&imaged);
  RETURN_IF_ERROR(MapImage(process, conversation, all));
  for (const Range& range : forgotten_) {
    RETURN_IF_ERROR(Call(process, SYS_madvise, {range.start, range.size(), MADV_DONTNEED}, 0));
  }
  ASSIGN_OR_RETURN(const std::int64_t end_of_heap, process.Inject(instruction_, SYS_brk, {}));
  break_ = static_cast<std::uint64_t>(end_of_heap);
  return absl::OkStatus();
}

absl::Status Snapshot::CheckDescriptors(const std::map<int, Descriptor>& descriptors) {
  for (const auto& [number, descriptor] : descriptors) {
    if (number == kHeldAt) return Cannot("a descriptor that is not watched is open");
    if (number <= STDERR_FILENO) continue;
    const std::string& target = descriptor.target;
    if (!target.starts_with('/')) {
      return Cannot(base::StrCat("descriptor ", number, " is ", target));
    }
    // Octal, as the kernel prints them.
    const std::size_t at = descriptor.info.find("flags:\t");
    const unsigned long flags =
        at == std::string::npos ? O_RDWR : std::stoul(descriptor.info.substr(at + 7), nullptr, 8);
    if ((flags & O_ACCMODE) != O_RDONLY) {
      return Cannot(base::StrCat("descriptor ", number, " can write to ", target));
    }
  }
  return absl::OkStatus();
}

void Snapshot::FindSpans() {
  spans_.clear();
  writable_.clear();
  // From one of the kernel's own mappings to the next: holes cost nothing.
  bool joined = false;
  std::uint64_t below = 0;
  for (const Mapping& mapping : mappings_) {
    if (!mapping.special() && (mapping.protection & PROT_WRITE) != 0) {
      const bool stack = mapping.range.end == stack_.range.end;
      const Range range{stack ? below : mapping.range.start, mapping.range.end};
      if (!writable_.empty() && writable_.back().end == range.start) {
        writable_.back().end = range.end;
      } else {
        writable_.push_back(range);
      }
    }
    below = mapping.range.end;
    if (joined && !mapping.special()) {
      spans_.back().end = mapping.range.end;
    } else if (!mapping.special()) {
      spans_.push_back(mapping.range);
    }
    joined = !mapping.special();
  }
}

absl::Status Snapshot::FindInstruction(const std::vector<Mapping>& mappings) {
  const auto vdso = std::ranges::find(mappings, "[vdso]", &Mapping::name);
  if (vdso == mappings.end()) return Cannot("it has unmapped the kernel's code");
  std::string theirs(vdso->range.size(), '\0');
  if (::pread(memory_.get(), theirs.data(), theirs.size(), static_cast<off_t>(vdso->range.start)) !=
      static_cast<ssize_t>(theirs.size())) {
    return base::ErrnoStatus(errno, "reading the kernel's code");
  }
  const std::uint64_t own = ::getauxval(AT_SYSINFO_EHDR);
  const iovec ours = At(own, theirs.size());
  if (own == 0 || std::memcmp(ours.iov_base, theirs.data(), theirs.size()) != 0) {
    return Cannot("it has changed the kernel's code");
  }
  const std::size_t at = theirs.find("\x0f\x05");
  if (at == std::string::npos) return absl::UnimplementedError("no system call in the vDSO");
  instruction_ = vdso->range.start + at;
  return absl::OkStatus();
}

absl::Status Snapshot::Choose(const std::vector<Mapping>& mappings,
                              const std::vector<std::string>& flags) {
  const PageScanner scanner(pagemap_.get());
  for (std::size_t i = 0; i < mappings.size(); ++i) {
    const Mapping& mapping = mappings[i];
    if (mapping.special()) continue;
    if (mapping.shared) {
      if (HasFlag(flags[i], "mw")) return Cannot("it shares memory that can be written");
      continue;
    }
    for (const std::string_view flag : {"lo", "um", "uw", "pf", "io"}) {
      if (HasFlag(flags[i], flag)) return Cannot(base::StrCat("memory with the flag ", flag));
    }
    if (HasFlag(flags[i], "wf")) {
      forgotten_.push_back(mapping.range);
      continue;
    }
    std::vector<Range> own;
    RETURN_IF_ERROR(scanner.AnonymousPages(mapping.range, &own));
    if (mapping.name == "[stack]") {
      stack_.range = mapping.range;
      stack_.pages = std::move(own);
      continue;
    }
    if (HasFlag(flags[i], "gd")) return Cannot("a second stack that grows by itself");
    if (mapping.name == "[vdso]") continue;
    const bool writable = (mapping.protection & PROT_WRITE) != 0;
    const bool small = mapping.anonymous() || mapping.range.size() <= kUnwrittenFileBytesMax;
    if (own.empty() && !(writable && small)) continue;
    imaged_.push_back({mapping.range, mapping.protection, image_bytes_});
    image_bytes_ += mapping.range.size();
  }
  if (stack_.range.size() == 0) return Cannot("it has no stack");
  return absl::OkStatus();
}

absl::Status Snapshot::CopyMemory(const std::vector<Mapping>& mappings) {
  image_.reset(::memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!image_.valid()) return base::ErrnoStatus(errno, "memfd_create");
  if (::ftruncate(image_.get(), static_cast<off_t>(image_bytes_)) != 0) {
    return base::ErrnoStatus(errno, "the size of a snapshot's image");
  }
  void* const writable =
      ::mmap(nullptr, image_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, image_.get(), 0);
  if (writable == MAP_FAILED) return base::ErrnoStatus(errno, "mapping a snapshot's image");
  const auto copy = [&](const Imaged& imaged, Range range) -> absl::Status {
    char* const to =
        static_cast<char*>(writable) + imaged.offset + (range.start - imaged.range.start);
    for (std::uint64_t done = 0; done < range.size();) {
      const ssize_t got = ::pread(memory_.get(), to + done, range.size() - done,
                                  static_cast<off_t>(range.start + done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return base::ErrnoStatus(got == 0 ? EIO : errno, "copying memory");
      done += static_cast<std::uint64_t>(got);
    }
    return absl::OkStatus();
  };
  const PageScanner scanner(pagemap_.get());
  absl::Status status;
  for (const Imaged& imaged : imaged_) {
    const auto mapping = std::ranges::find(mappings, imaged.range, &Mapping::range);
    if (!status.ok()) break;
    if (!mapping->anonymous()) {
      // Its last page may lie behind the end of the file.
      for (Range page{imaged.range.start, imaged.range.start + kPageBytes};
           page.start < imaged.range.end && status.ok(); page = {page.end, page.end + kPageBytes}) {
        status = copy(imaged, page);
      }
      if (!status.ok()) status = Cannot(base::StrCat("memory behind the end of ", mapping->name));
      continue;
    }
    std::vector<Range> own;
    status = scanner.AnonymousPages(imaged.range, &own);
    for (const Range& range : own) {
      if (status.ok()) status = copy(imaged, range);
    }
  }
  ::munmap(writable, image_bytes_);
  RETURN_IF_ERROR(status);
  for (const Range& range : stack_.pages) {
    const std::size_t at = stack_.bytes.size();
    stack_.bytes.resize(at + range.size());
    if (::pread(memory_.get(), &stack_.bytes[at], range.size(), static_cast<off_t>(range.start)) !=
        static_cast<ssize_t>(range.size())) {
      return base::ErrnoStatus(errno, "copying the stack");
    }
  }
  constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (::fcntl(image_.get(), F_ADD_SEALS, kSeals) != 0) {
    return base::ErrnoStatus(errno, "sealing a snapshot's image");
  }
  void* const readable = ::mmap(nullptr, image_bytes_, PROT_READ, MAP_SHARED, image_.get(), 0);
  if (readable == MAP_FAILED) return base::ErrnoStatus(errno, "mapping a snapshot's image");
  image_bytes_at_ = static_cast<char*>(readable);
  return absl::OkStatus();
}

absl::Status Snapshot::Call(StoppedProcess& process, long call,
                            std::array<std::uint64_t, 6> arguments, std::uint64_t wanted) {
  ASSIGN_OR_RETURN(const std::int64_t result, process.Inject(instruction_, call, arguments));
  if (static_cast<std::uint64_t>(result) == wanted) return absl::OkStatus();
  return Cannot(base::StrCat("system call ", call, " in it returns ", result));
}

// The process takes the image from its socket by a message header below its stack, which the
// rewind of the stack removes.
absl::StatusOr<int> Snapshot::SendImage(StoppedProcess& process, int conversation) {
  struct {
    msghdr header;
    iovec vector;
    char byte;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  } there{};
  const std::uint64_t room = (sizeof(there) + kRedZoneBytes + 63) / 64 * 64;
  const std::uint64_t at = (states_[0].registers.rsp & ~63ULL) - room;
  if (at < stack_.range.start || at + sizeof(there) > stack_.range.end) {
    return Cannot("its main thread does not use its stack");
  }
  const auto place = [&](const void* member) {
    return at + static_cast<std::uint64_t>(static_cast<const char*>(member) -
                                           reinterpret_cast<const char*>(&there));
  };
  there.header.msg_iov = static_cast<iovec*>(At(place(&there.vector), 0).iov_base);
  there.header.msg_iovlen = 1;
  there.header.msg_control = At(place(&there.control), 0).iov_base;
  there.header.msg_controllen = sizeof(there.control);
  there.vector = At(place(&there.byte), 1);
  if (::pwrite(memory_.get(), &there, sizeof(there), static_cast<off_t>(at)) != sizeof(there)) {
    return base::ErrnoStatus(errno, "writing below the stack");
  }
  char byte = 0;
  iovec vector{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* const rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  const int image = image_.get();
  std::memcpy(CMSG_DATA(rights), &image, sizeof(image));
  if (::sendmsg(conversation, &message, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) {
    return base::ErrnoStatus(errno, "sending the image");
  }
  RETURN_IF_ERROR(
      Call(process, SYS_recvmsg, {kConversation, at, MSG_DONTWAIT | MSG_CMSG_CLOEXEC}, 1));
  int number = -1;
  const std::uint64_t data = place(&there.control) + CMSG_LEN(0);
  if (::pread(memory_.get(), &number, sizeof(number), static_cast<off_t>(data)) != sizeof(number)) {
    return base::ErrnoStatus(errno, "reading below the stack");
  }
  return number;
}

absl::Status Snapshot::MapImage(StoppedProcess& process, int conversation,
                                const std::vector<const Imaged*>& which) {
  ASSIGN_OR_RETURN(const int number, SendImage(process, conversation));
  for (const Imaged* imaged : which) {
    RETURN_IF_ERROR(Call(
        process, SYS_mmap,
        {imaged->range.start, imaged->range.size(), static_cast<std::uint64_t>(imaged->protection),
         MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, static_cast<std::uint64_t>(number),
         imaged->offset},
        imaged->range.start));
  }
  return Call(process, SYS_close, {static_cast<std::uint64_t>(number)}, 0);
}

absl::StatusOr<std::map<int, Snapshot::Descriptor>> Snapshot::ReadDescriptors(pid_t pid) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListProc(pid, "fd"));
  std::map<int, Descriptor> descriptors;
  for (const std::string& name : names) {
    Descriptor descriptor;
    const std::string path = base::StrCat("/proc/", pid, "/fd/", name);
    struct stat file;
    const std::optional<std::string> target = ReadLink(path);
    if (!target || ::stat(path.c_str(), &file) != 0) return Cannot("a descriptor is not shown");
    descriptor.target = base::StrCat(*target, " ", file.st_dev, ":", file.st_ino);
    ASSIGN_OR_RETURN(descriptor.info,
                     base::ReadFile(base::StrCat("/proc/", pid, "/fdinfo/", name), 64 << 10));
    descriptors.emplace(std::stoi(name), std::move(descriptor));
  }
  return descriptors;
}

const Snapshot::Imaged* Snapshot::ImagedAt(std::uint64_t address) const {
  auto after = std::ranges::upper_bound(imaged_, address, {},
                                        [](const Imaged& imaged) { return imaged.range.start; });
  if (after == imaged_.begin()) return nullptr;
  --after;
  return address < after->range.end ? &*after : nullptr;
}

absl::Status Snapshot::Rewind(StoppedProcess& process, int conversation,
                              Supervisor::Touched touched, bool learn, RewindReport* report) {
  const pid_t pid = process.pid();
  Clock::time_point before = Clock::now();
  const auto lap = [&](std::chrono::nanoseconds* into) {
    const Clock::time_point now = Clock::now();
    *into += now - before;
    before = now;
  };
  if (process.threads() != threads_) return Cannot("threads have come or gone");
  for (const pid_t thread : threads_) {
    const absl::StatusOr<int> signal = process.PendingSignal(thread);
    if (signal.ok()) return Cannot(base::StrCat("signal ", *signal, " is pending"));
    if (!absl::IsNotFound(signal.status())) return signal.status();
  }
  int unread = 0;
  if (::ioctl(conversation, SIOCOUTQ, &unread) != 0 || unread != 0) {
    return Cannot("it has not read all of the last request");
  }
  char instruction[2] = {};
  if (::pread(memory_.get(), instruction, 2, static_cast<off_t>(instruction_)) != 2 ||
      std::memcmp(instruction, "\x0f\x05", 2) != 0) {
    return Cannot("it has changed the kernel's code");
  }
  lap(&report->rest);
  for (const Range& advised : touched.advised) {
    for (const Mapping& mapping : mappings_) {
      if (Common(advised, mapping.range).size() > 0) {
        return Cannot("it advised the kernel on memory of the snapshot");
      }
    }
  }
  std::vector<Range> own;
  if (!touched.layout) {
    ASSIGN_OR_RETURN(own, OwnPages(false, report));
    if (StackHasGrown(own)) {
      if (learn) RETURN_IF_ERROR(AdoptStack(pid));
      touched.layout = true;
    }
  }
  if (touched.layout) {
    before = Clock::now();
    RETURN_IF_ERROR(Call(process, SYS_brk, {break_}, break_));
    ASSIGN_OR_RETURN(const std::string layout, ReadLayout(pid));
    if (layout != layout_) RETURN_IF_ERROR(RepairLayout(process, conversation, report));
    lap(&report->layout);
    ASSIGN_OR_RETURN(own, OwnPages(true, report));
  }
  if (learn) Learn(own);
  RETURN_IF_ERROR(RestorePages(process, own, report));
  before = Clock::now();
  if (touched.descriptors) {
    ASSIGN_OR_RETURN(const auto descriptors, ReadDescriptors(pid));
    if (descriptors != descriptors_) return Cannot("its descriptors are others");
  }
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    RETURN_IF_ERROR(process.Restore(threads_[i], states_[i]));
  }
  lap(&report->rest);
  return absl::OkStatus();
}

absl::Status Snapshot::RepairLayout(StoppedProcess& process, int conversation,
                                    RewindReport* report) {
  ASSIGN_OR_RETURN(std::string text, ReadLayout(process.pid()));
  ASSIGN_OR_RETURN(const std::vector<Mapping> found, ParseLayout(text));
  // What is new goes, and with it what took the place of something of the snapshot.
  for (const Mapping& mapping : found) {
    std::uint64_t at = mapping.range.start;
    const auto remove = [&](std::uint64_t until) -> absl::Status {
      if (until <= at) return absl::OkStatus();
      ++report->mappings_repaired;
      return Call(process, SYS_munmap, {at, until - at}, 0);
    };
    if (mapping.special()) continue;
    for (const Mapping& own : mappings_) {
      const Range common = Common(own.range, mapping.range);
      if (common.size() == 0) continue;
      RETURN_IF_ERROR(remove(common.start));
      at = common.end;
    }
    RETURN_IF_ERROR(remove(mapping.range.end));
  }
  std::vector<const Imaged*> lost;
  for (const Mapping& own : mappings_) {
    const auto same = std::ranges::find(found, own.range, &Mapping::range);
    if (same != found.end() && same->SameBacking(own) && same->protection == own.protection)
      continue;
    ++report->mappings_repaired;
    const auto imaged_end = std::ranges::find_if(
        imaged_, [&](const Imaged& imaged) { return Common(imaged.range, own.range).size() > 0; });
    if (imaged_end != imaged_.end()) {
      // Adjacent parts of the image are one mapping of the kernel's.
      for (const Imaged& imaged : imaged_) {
        if (Common(imaged.range, own.range).size() > 0) lost.push_back(&imaged);
      }
    } else if (own.anonymous() && own.name.empty()) {
      RETURN_IF_ERROR(
          Call(process, SYS_mmap,
               {own.range.start, own.range.size(), static_cast<std::uint64_t>(own.protection),
                MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE | MAP_ANONYMOUS, ~0ULL},
               own.range.start));
    } else {
      // Pieces of it, perhaps with other permissions; or something else, which the comparison
      // below tells.
      RETURN_IF_ERROR(
          Call(process, SYS_mprotect,
               {own.range.start, own.range.size(), static_cast<std::uint64_t>(own.protection)}, 0));
    }
  }
  if (!lost.empty()) RETURN_IF_ERROR(MapImage(process, conversation, lost));
  ASSIGN_OR_RETURN(text, ReadLayout(process.pid()));
  if (text != layout_) return Cannot("its layout cannot be restored");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Range>> Snapshot::OwnPages(bool everywhere, RewindReport* report) const {
  const PageScanner scanner(pagemap_.get());
  const Clock::time_point before = Clock::now();
  std::vector<Range> own;
  for (const Range& range : everywhere ? spans_ : writable_) {
    RETURN_IF_ERROR(scanner.AnonymousPages(range, &own));
  }
  report->scan += Clock::now() - before;
  return own;
}

bool Snapshot::StackHasGrown(const std::vector<Range>& own) const {
  const auto stack = std::ranges::find(mappings_, stack_.range.end,
                                       [](const Mapping& mapping) { return mapping.range.end; });
  const std::uint64_t below = stack == mappings_.begin() ? 0 : std::prev(stack)->range.end;
  return std::ranges::any_of(own, [&](const Range& range) {
    return Common(range, {below, stack->range.start}).size() > 0;
  });
}

absl::Status Snapshot::AdoptStack(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string layout, ReadLayout(pid));
  ASSIGN_OR_RETURN(std::vector<Mapping> mappings, ParseLayout(layout));
  const auto is_stack = [&](const Mapping& mapping) {
    return mapping.range.end == stack_.range.end;
  };
  const auto grown = std::ranges::find_if(mappings, is_stack);
  const auto known = std::ranges::find_if(mappings_, is_stack);
  if (grown == mappings.end()) return absl::OkStatus();
  const Range range = grown->range;
  std::vector<Mapping> expected = mappings_;
  expected[static_cast<std::size_t>(known - mappings_.begin())].range = range;
  const bool only_the_stack =
      std::ranges::equal(expected, mappings, [](const Mapping& a, const Mapping& b) {
        return a.SameBacking(b) && a.protection == b.protection;
      });
  if (!only_the_stack) return absl::OkStatus();  // The rewind repairs it all.
  layout_ = layout;
  mappings_ = std::move(mappings);
  stack_.range = range;
  FindSpans();
  return absl::OkStatus();
}

void Snapshot::Learn(const std::vector<Range>& own) {
  StackCopy stack{.range = stack_.range, .pages = {}, .bytes = {}};
  for (const Range& range : own) {
    const Range part = Common(range, stack_.range);
    if (part.size() == 0) continue;
    stack.pages.push_back(part);
    std::string bytes(part.size(), '\0');  // What was not there was zero.
    std::uint64_t from = 0;
    for (const Range& had : stack_.pages) {
      const Range both = Common(part, had);
      std::memcpy(&bytes[both.size() > 0 ? both.start - part.start : 0],
                  stack_.bytes.data() + from + (both.size() > 0 ? both.start - had.start : 0),
                  both.size());
      from += had.size();
    }
    stack.bytes += bytes;
  }
  stack_ = std::move(stack);
  learned_.clear();
  learned_here_.clear();
  learned_there_.clear();
  learned_pages_ = 0;
  for (const Range& range : own) {
    for (std::uint64_t at = range.start; at < range.end;) {
      const Imaged* const imaged = ImagedAt(at);
      if (imaged == nullptr || (imaged->protection & PROT_WRITE) == 0) {
        at += kPageBytes;
        continue;
      }
      const Range part = Common({at, range.end}, imaged->range);
      const std::uint64_t offset = imaged->offset + (part.start - imaged->range.start);
      learned_.push_back(part);
      learned_here_.push_back({image_bytes_at_ + offset, part.size()});
      learned_there_.push_back(At(part.start, part.size()));
      learned_pages_ += part.size() / kPageBytes;
      at = part.end;
    }
  }
}

absl::Status Snapshot::RestorePages(StoppedProcess& process, const std::vector<Range>& own,
                                    RewindReport* report) {
  const Clock::time_point before = Clock::now();
  // What is anonymous and was not at the snapshot shows again what is behind it.
  auto kept = learned_.begin();
  Range dropped;
  const auto flush = [&]() -> absl::Status {
    if (dropped.size() == 0) return absl::OkStatus();
    return Call(process, SYS_madvise, {dropped.start, dropped.size(), MADV_DONTNEED}, 0);
  };
  // A call in the process costs more than the pages between two ranges, which are written below.
  const auto drop = [&](Range range) -> absl::Status {
    report->pages_dropped += range.size() / kPageBytes;
    const Imaged* const imaged = ImagedAt(range.start);
    const bool near = dropped.size() > 0 && imaged != nullptr &&
                      range.start - dropped.end <= kDropGapBytes &&
                      ImagedAt(dropped.start) == imaged && ImagedAt(range.end - 1) == imaged;
    if (near) {
      dropped.end = range.end;
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(flush());
    dropped = range;
    return absl::OkStatus();
  };
  for (const Range& range : own) {
    std::uint64_t at = range.start;
    const auto keep = [&](const Range& known) -> absl::Status {
      const Range common = Common({at, range.end}, known);
      if (common.size() == 0) return absl::OkStatus();
      if (common.start > at) RETURN_IF_ERROR(drop({at, common.start}));
      at = common.end;
      return absl::OkStatus();
    };
    while (kept != learned_.end() && kept->end <= at) ++kept;
    for (auto next = kept; next != learned_.end() && next->start < range.end; ++next) {
      RETURN_IF_ERROR(keep(*next));
    }
    for (const Range& page : stack_.pages) RETURN_IF_ERROR(keep(page));
    if (at < range.end) RETURN_IF_ERROR(drop({at, range.end}));
  }
  RETURN_IF_ERROR(flush());
  RETURN_IF_ERROR(WriteVectors(process.pid(), learned_here_, learned_there_));
  RETURN_IF_ERROR(WriteStack(process));
  report->pages_written += learned_pages_ + stack_.bytes.size() / kPageBytes;
  report->write += Clock::now() - before;
  return absl::OkStatus();
}

absl::Status Snapshot::WriteStack(const StoppedProcess& process) const {
  std::vector<iovec> here, there;
  std::uint64_t at = 0;
  for (const Range& range : stack_.pages) {
    here.push_back({const_cast<char*>(stack_.bytes.data()) + at, range.size()});
    there.push_back(At(range.start, range.size()));
    at += range.size();
  }
  return WriteVectors(process.pid(), here, there);
}

}  // namespace ncn::rewind
