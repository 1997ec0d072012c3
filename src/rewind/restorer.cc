#include "rewind/restorer.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "base/status_macros.h"
#include "base/strings.h"
#include "rewind/layout_repair.h"

namespace ncn::rewind {
namespace {

using Clock = std::chrono::steady_clock;

absl::Status CheckNoSignal(const StoppedProcess& process) {
  for (const pid_t thread : process.threads()) {
    const absl::StatusOr<int> signal = process.PendingSignal(thread);
    if (signal.ok()) return CannotRewind(base::StrCat("signal ", *signal, " is pending"));
    if (!absl::IsNotFound(signal.status())) return signal.status();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Restorer>> Restorer::OfReady(StoppedProcess& process,
                                                            int conversation) {
  ASSIGN_OR_RETURN(ProcessMemory memory, ProcessMemory::Open(process.pid()));
  ASSIGN_OR_RETURN(std::shared_ptr<Snapshot> snapshot,
                   Snapshot::Take(process, memory, conversation));
  auto descriptors = snapshot->descriptors;
  return std::unique_ptr<Restorer>(new Restorer(std::move(memory), conversation,
                                                std::move(snapshot), process.threads(),
                                                std::move(descriptors)));
}

absl::Status Restorer::CheckUnchanged(const StoppedProcess& process,
                                      const Supervisor::Touched& touched) const {
  if (process.threads() != threads_) return CannotRewind("threads have come or gone");
  RETURN_IF_ERROR(CheckNoSignal(process));
  int unread = 0;
  if (::ioctl(conversation_, SIOCOUTQ, &unread) != 0 || unread != 0) {
    return CannotRewind("it has not read all of the last request");
  }
  char instruction[2] = {};
  if (!memory_.Read(snapshot_->instruction, instruction, 2).ok() ||
      std::memcmp(instruction, "\x0f\x05", 2) != 0) {
    return CannotRewind("it has changed the kernel's code");
  }
  for (const Range& advised : touched.advised) {
    for (const Mapping& mapping : snapshot_->mappings) {
      if (Common(advised, mapping.range).size() > 0) {
        return CannotRewind("it advised the kernel on memory of the snapshot");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Restorer::Rewind(StoppedProcess& process, Supervisor::Touched touched, bool learn,
                              RewindReport* report) {
  Clock::time_point before = Clock::now();
  report->calls = touched.calls;
  RETURN_IF_ERROR(CheckUnchanged(process, touched));
  report->rest += Clock::now() - before;
  // Of a process that may have changed permissions the loops are not trusted, nor what is not
  // looked at.
  bool done = false;
  if (!touched.layout && !learn) {
    ASSIGN_OR_RETURN(done, RestoreAtOnce(process, report));
  }
  if (!done) RETURN_IF_ERROR(RestoreInSteps(process, touched, learn, report));
  before = Clock::now();
  if (touched.descriptors) {
    ASSIGN_OR_RETURN(const auto descriptors, ReadDescriptors(process.pid()));
    if (descriptors != descriptors_) return CannotRewind("its descriptors are others");
  }
  RETURN_IF_ERROR(RestoreThreads(process));
  report->rest += Clock::now() - before;
  return absl::OkStatus();
}

absl::StatusOr<bool> Restorer::RestoreAtOnce(StoppedProcess& process, RewindReport* report) {
  ASSIGN_OR_RETURN(const bool grown, StackHasGrown());
  if (grown) return false;
  RemoteCalls calls(process, memory_, snapshot_->instruction, snapshot_->threads[0].registers.rsp,
                    snapshot_->loop);
  const bool counts = KernelCountsExactly();
  if (likely_.empty()) LookFor(snapshot_->forgotten);
  std::vector<Range> strays;
  if (counts) {
    ASSIGN_OR_RETURN(strays, FindStrays(likely_, report));
  }
  Clock::time_point before = Clock::now();
  absl::Status written;
  absl::StatusOr<std::vector<Range>> elsewhere = std::vector<Range>();
  RETURN_IF_ERROR(calls.ExpectAll(Dropping(strays, report), snapshot_->copies, [&] {
    const std::size_t copied = snapshot_->copies.size();
    written = memory_.WriteMany(std::span(snapshot_->learned_here).subspan(copied),
                                std::span(snapshot_->learned_there).subspan(copied));
    report->write += Clock::now() - before;
    if (!counts) elsewhere = FindStrays(snapshot_->writable, report);
    before = Clock::now();
  }));
  RETURN_IF_ERROR(written);
  const std::uint64_t pages = snapshot_->learned_pages + snapshot_->stack.bytes.size() / kPageBytes;
  report->pages_written += pages;
  if (counts) {
    RETURN_IF_ERROR(WriteStack());
    report->write += Clock::now() - before;
    before = Clock::now();
    // All that has been written is there and counts, so there is no other.
    ASSIGN_OR_RETURN(const std::uint64_t counted, memory_.CountOwnPages());
    report->scan += Clock::now() - before;
    if (counted == pages) return true;
    ASSIGN_OR_RETURN(elsewhere, FindStrays(snapshot_->writable, report));
    LookFor(*elsewhere);
    before = Clock::now();
  }
  RETURN_IF_ERROR(elsewhere.status());
  RETURN_IF_ERROR(calls.ExpectAll(Dropping(*elsewhere, report)));
  // Behind the calls, whose table is below it.
  RETURN_IF_ERROR(WriteStack());
  report->write += Clock::now() - before;
  return true;
}

absl::Status Restorer::RestoreInSteps(StoppedProcess& process, const Supervisor::Touched& touched,
                                      bool learn, RewindReport* report) {
  const pid_t pid = process.pid();
  RemoteCalls calls(process, memory_, snapshot_->instruction, snapshot_->threads[0].registers.rsp);
  ASSIGN_OR_RETURN(const bool grown, StackHasGrown());
  if (grown && learn && !touched.layout) RETURN_IF_ERROR(AdoptStack(pid));
  const bool look_everywhere = touched.layout || grown;
  if (look_everywhere) {
    const Clock::time_point before = Clock::now();
    const std::uint64_t end = snapshot_->end_of_heap;
    RETURN_IF_ERROR(calls.Expect(SYS_brk, {end}, end));
    RETURN_IF_ERROR(RepairLayout(calls, *snapshot_, pid, conversation_, /*much=*/false,
                                 &report->mappings_repaired));
    report->layout += Clock::now() - before;
  }
  const auto& places = look_everywhere ? snapshot_->spans : snapshot_->writable;
  if (learn) {
    ASSIGN_OR_RETURN(const std::vector<Range> own, OwnPages(places, report));
    std::vector<Range> present;
    for (const Range& range : snapshot_->spans) {
      RETURN_IF_ERROR(memory_.PresentPages(range, &present));
    }
    snapshot_->Learn(own);
    snapshot_->LearnTouched(present);
    likely_.clear();
  }
  ASSIGN_OR_RETURN(const std::vector<Range> strays, FindStrays(places, report));
  const Clock::time_point before = Clock::now();
  RETURN_IF_ERROR(calls.ExpectAll(Dropping(strays, report)));
  RETURN_IF_ERROR(memory_.WriteMany(snapshot_->learned_here, snapshot_->learned_there));
  RETURN_IF_ERROR(WriteStack());
  report->pages_written += snapshot_->learned_pages + snapshot_->stack.bytes.size() / kPageBytes;
  report->write += Clock::now() - before;
  return absl::OkStatus();
}

absl::Status Restorer::RestoreThreads(StoppedProcess& process) const {
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    RETURN_IF_ERROR(process.Restore(threads_[i], snapshot_->threads[i]));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Range>> Restorer::OwnPages(const std::vector<Range>& ranges,
                                                      RewindReport* report) const {
  const Clock::time_point before = Clock::now();
  std::vector<Range> own;
  for (const Range& range : ranges) RETURN_IF_ERROR(memory_.OwnPages(range, &own));
  report->scan += Clock::now() - before;
  return own;
}

absl::StatusOr<bool> Restorer::StackHasGrown() const {
  const auto& mappings = snapshot_->mappings;
  const auto stack = std::ranges::find(mappings, snapshot_->stack.range.end,
                                       [](const Mapping& mapping) { return mapping.range.end; });
  const std::uint64_t below = stack == mappings.begin() ? 0 : std::prev(stack)->range.end;
  return memory_.IsMapped({below, stack->range.start});
}

// Takes a stack that has grown for the snapshot's, when it is all that is different.
absl::Status Restorer::AdoptStack(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string layout, ReadLayout(pid));
  ASSIGN_OR_RETURN(std::vector<Mapping> mappings, ParseLayout(layout));
  const auto is_stack = [&](const Mapping& mapping) {
    return mapping.range.end == snapshot_->stack.range.end;
  };
  const auto grown = std::ranges::find_if(mappings, is_stack);
  const auto known = std::ranges::find_if(snapshot_->mappings, is_stack);
  if (grown == mappings.end()) return absl::OkStatus();
  const Range range = grown->range;
  std::vector<Mapping> expected = snapshot_->mappings;
  expected[static_cast<std::size_t>(known - snapshot_->mappings.begin())].range = range;
  const bool only_the_stack =
      std::ranges::equal(expected, mappings, [](const Mapping& a, const Mapping& b) {
        return a.SameBacking(b) && a.protection == b.protection;
      });
  if (!only_the_stack) return absl::OkStatus();  // The rewind repairs it all.
  snapshot_->layout = layout;
  snapshot_->mappings = std::move(mappings);
  snapshot_->stack.range = range;
  snapshot_->FindSpans();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Range>> Restorer::FindStrays(const std::vector<Range>& ranges,
                                                        RewindReport* report) const {
  ASSIGN_OR_RETURN(const std::vector<Range> own, OwnPages(ranges, report));
  const std::vector<Range>& learned = snapshot_->learned;
  auto kept = learned.begin();
  std::vector<Range> strays;
  for (const Range& range : own) {
    std::uint64_t at = range.start;
    const auto keep = [&](const Range& known) {
      const Range common = Common({at, range.end}, known);
      if (common.size() == 0) return;
      if (common.start > at) strays.push_back({at, common.start});
      at = common.end;
    };
    while (kept != learned.end() && kept->end <= at) ++kept;
    for (auto next = kept; next != learned.end() && next->start < range.end; ++next) {
      keep(*next);
    }
    for (const Range& page : snapshot_->stack.pages) keep(page);
    if (at < range.end) strays.push_back({at, range.end});
  }
  return strays;
}

void Restorer::LookFor(const std::vector<Range>& strays) {
  std::vector<Range> ranges = strays;
  ranges.push_back(snapshot_->stack.range);
  snapshot_->Widen(ranges, &likely_);
}

std::vector<RemoteCalls::Call> Restorer::Dropping(const std::vector<Range>& strays,
                                                  RewindReport* report) {
  std::vector<RemoteCalls::Call> calls;
  for (const Range& range : strays) {
    report->pages_dropped += range.size() / kPageBytes;
    calls.push_back({SYS_madvise, {range.start, range.size(), MADV_DONTNEED}, 0});
  }
  return calls;
}

absl::Status Restorer::WriteStack() const {
  const StackCopy& stack = snapshot_->stack;
  std::vector<iovec> here, there;
  std::uint64_t at = 0;
  for (const Range& range : stack.pages) {
    here.push_back({const_cast<char*>(stack.bytes.data()) + at, range.size()});
    there.push_back(At(range.start, range.size()));
    at += range.size();
  }
  return memory_.WriteMany(here, there);
}

// --------------------------------------------------------------------------------------------
// A process that is made what another one was.

namespace {

// What the two must have in common for the one's addresses to mean the same in the other: the
// kernel's own mappings, the stack's place, what is wiped on fork.
absl::Status CheckRelated(const Snapshot& snapshot, const std::vector<Mapping>& found) {
  const auto has = [&](const Mapping& wanted) {
    return std::ranges::any_of(found, [&](const Mapping& mapping) {
      return mapping.range == wanted.range && mapping.name == wanted.name;
    });
  };
  for (const Mapping& mapping : snapshot.mappings) {
    const bool kernels = mapping.special() || mapping.name == "[vdso]";
    const bool forgotten =
        std::ranges::find(snapshot.forgotten, mapping.range) != snapshot.forgotten.end();
    if ((kernels || forgotten) && !has(mapping)) {
      return CannotRewind(base::StrCat("the zygote has no ", mapping.name, " where it was"));
    }
  }
  const auto stack = std::ranges::find(found, "[stack]", &Mapping::name);
  if (stack == found.end() || stack->range.end != snapshot.stack.range.end) {
    return CannotRewind("the zygote's stack is elsewhere");
  }
  return absl::OkStatus();
}

// Numbers, positions, flags; beyond the standard streams also what they lead to.
absl::Status CheckSameDescriptors(const std::map<int, Descriptor>& wanted,
                                  const std::map<int, Descriptor>& found) {
  const auto before_mount = [](const std::string& info) {
    return info.substr(0, info.find("mnt_id"));
  };
  bool same = wanted.size() == found.size();
  for (auto a = wanted.begin(), b = found.begin(); same && a != wanted.end(); ++a, ++b) {
    same = a->first == b->first && before_mount(a->second.info) == before_mount(b->second.info) &&
           (a->first <= STDERR_FILENO || a->second.target == b->second.target);
  }
  return same ? absl::OkStatus() : CannotRewind("the load left descriptors open");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Restorer>> Restorer::OfFresh(StoppedProcess& process,
                                                            int conversation,
                                                            std::shared_ptr<Snapshot> snapshot,
                                                            RewindReport* report) {
  const pid_t pid = process.pid();
  Clock::time_point before = Clock::now();
  if (process.threads().size() != 1 || snapshot->threads.size() != 1) {
    return CannotRewind("the load made threads");
  }
  RETURN_IF_ERROR(CheckNoSignal(process));
  ASSIGN_OR_RETURN(const ThreadState waiting, process.Save(pid));
  RETURN_IF_ERROR(CheckWaits(waiting, conversation));
  ASSIGN_OR_RETURN(ProcessMemory memory, ProcessMemory::Open(pid));
  ASSIGN_OR_RETURN(const std::string text, ReadLayout(pid));
  ASSIGN_OR_RETURN(const std::vector<Mapping> found, ParseLayout(text));
  RETURN_IF_ERROR(CheckRelated(*snapshot, found));
  ASSIGN_OR_RETURN(const std::uint64_t instruction, FindInstruction(memory, found));
  ASSIGN_OR_RETURN(auto descriptors, ReadDescriptors(pid));
  RETURN_IF_ERROR(CheckSameDescriptors(snapshot->descriptors, descriptors));
  RemoteCalls calls(process, memory, instruction, waiting.registers.rsp);
  const std::uint64_t end = snapshot->end_of_heap;
  RETURN_IF_ERROR(calls.Expect(SYS_brk, {end}, end));
  // The kernel writes there, as the process itself would, and the stack grows.
  RETURN_IF_ERROR(
      calls.Expect(SYS_clock_getres, {CLOCK_MONOTONIC, snapshot->stack.range.start}, 0));
  RETURN_IF_ERROR(
      RepairLayout(calls, *snapshot, pid, conversation, /*much=*/true, &report->mappings_repaired));
  report->layout += Clock::now() - before;
  std::unique_ptr<Restorer> restorer(new Restorer(std::move(memory), conversation,
                                                  std::move(snapshot), process.threads(),
                                                  std::move(descriptors)));
  ASSIGN_OR_RETURN(const auto strays, restorer->FindStrays(restorer->snapshot_->spans, report));
  before = Clock::now();
  RemoteCalls further(process, restorer->memory_, instruction, waiting.registers.rsp);
  RETURN_IF_ERROR(further.ExpectAll(Dropping(strays, report)));
  RETURN_IF_ERROR(restorer->WriteStack());
  RETURN_IF_ERROR(restorer->RestoreThreads(process));
  report->pages_written = restorer->snapshot_->learned_pages;
  report->write += Clock::now() - before;
  return restorer;
}

}  // namespace ncn::rewind
