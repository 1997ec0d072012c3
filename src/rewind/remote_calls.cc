#include "rewind/remote_calls.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "rewind/watched_calls.h"

namespace ncn::rewind {
namespace {

// Further down the stack than any code writes without moving its pointer.
constexpr std::uint64_t kRedZoneBytes = 128;
constexpr std::uint64_t kAlignment = 64;

}  // namespace

absl::StatusOr<std::int64_t> RemoteCalls::Make(long call, const Arguments& arguments) {
  return process_.Inject(instruction_, call, arguments);
}

absl::Status RemoteCalls::Expect(long call, const Arguments& arguments, std::uint64_t wanted) {
  ASSIGN_OR_RETURN(const std::int64_t result, Make(call, arguments));
  if (static_cast<std::uint64_t>(result) == wanted) return absl::OkStatus();
  return CannotRewind(base::StrCat("system call ", call, " in it returns ", result));
}

absl::Status RemoteCalls::ExpectAll(const std::vector<Call>& calls) {
  return ExpectAll(calls, {}, [] {});
}

absl::Status RemoteCalls::ExpectAll(const std::vector<Call>& calls, const std::vector<Copy>& copies,
                                    const std::function<void()>& meanwhile) {
  if (loop_ == 0) {
    for (const Call& call : calls) {
      RETURN_IF_ERROR(Expect(static_cast<long>(call.number), call.arguments, call.wanted));
    }
    meanwhile();
    return absl::OkStatus();
  }
  std::span<const Call> left(calls);
  for (; left.size() > kCallsAtOnce; left = left.subspan(kCallsAtOnce)) {
    RETURN_IF_ERROR(Run(left.first(kCallsAtOnce), {}, [] {}));
  }
  if (!left.empty() || !copies.empty()) return Run(left, copies, meanwhile);
  meanwhile();
  return absl::OkStatus();
}

absl::Status RemoteCalls::Run(std::span<const Call> calls, std::span<const Copy> copies,
                              const std::function<void()>& meanwhile) {
  static_assert(sizeof(Call) == 64 && sizeof(Copy) == 24, "as the loops read them");
  ASSIGN_OR_RETURN(const std::uint64_t first, Scratch(calls.size_bytes() + copies.size_bytes()));
  const std::uint64_t middle = first + calls.size_bytes(), last = middle + copies.size_bytes();
  if (!calls.empty()) RETURN_IF_ERROR(memory_.Write(first, calls.data(), calls.size_bytes()));
  if (!copies.empty()) RETURN_IF_ERROR(memory_.Write(middle, copies.data(), copies.size_bytes()));
  const LoopRegisters tables{.r12 = last, .r13 = middle, .r14 = middle, .r15 = first};
  ASSIGN_OR_RETURN(const user_regs_struct after,
                   process_.RunToBreakpoint(loop_, tables, meanwhile));
  if (after.r15 != middle) {
    const std::uint64_t failed = (after.r15 - first) / sizeof(Call);
    return CannotRewind(base::StrCat("system call ",
                                     failed < calls.size() ? calls[failed].number : 0,
                                     " in it returns ", static_cast<std::int64_t>(after.rax)));
  }
  return after.r13 == last ? absl::OkStatus() : CannotRewind("it did not copy all");
}

absl::StatusOr<std::uint64_t> RemoteCalls::MapLoop(int file, std::uint64_t offset,
                                                   std::uint64_t address) {
  const int flags = MAP_PRIVATE | (address != 0 ? MAP_FIXED_NOREPLACE : 0);
  ASSIGN_OR_RETURN(
      const std::int64_t at,
      Make(SYS_mmap, {address, kPageBytes, PROT_READ | PROT_EXEC, static_cast<std::uint64_t>(flags),
                      static_cast<std::uint64_t>(file), offset}));
  loop_ = at > 0 ? static_cast<std::uint64_t>(at) : 0;
  return loop_;
}

absl::Status RemoteCalls::UnmapLoop() {
  return Expect(SYS_munmap, {std::exchange(loop_, 0), kPageBytes}, 0);
}

std::uint64_t RoomBelow(std::uint64_t stack_pointer, std::uint64_t bytes) {
  const std::uint64_t room = (bytes + kRedZoneBytes + kAlignment - 1) / kAlignment * kAlignment;
  return (stack_pointer & ~(kAlignment - 1)) - room;
}

absl::StatusOr<std::uint64_t> RemoteCalls::Scratch(std::uint64_t bytes) const {
  const std::uint64_t at = RoomBelow(stack_pointer_, bytes);
  if (at >= stack_pointer_) return CannotRewind("its main thread has no stack");
  return at;
}

absl::StatusOr<int> RemoteCalls::HandOver(int descriptor, int conversation) {
  struct {
    msghdr header;
    iovec vector;
    char byte;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  } there{};
  ASSIGN_OR_RETURN(const std::uint64_t at, Scratch(sizeof(there)));
  const auto place = [&](const void* member) {
    return at + static_cast<std::uint64_t>(static_cast<const char*>(member) -
                                           reinterpret_cast<const char*>(&there));
  };
  there.header.msg_iov = static_cast<iovec*>(At(place(&there.vector), 0).iov_base);
  there.header.msg_iovlen = 1;
  there.header.msg_control = At(place(&there.control), 0).iov_base;
  there.header.msg_controllen = sizeof(there.control);
  there.vector = At(place(&there.byte), 1);
  RETURN_IF_ERROR(memory_.Write(at, &there, sizeof(there)));
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
  std::memcpy(CMSG_DATA(rights), &descriptor, sizeof(descriptor));
  if (::sendmsg(conversation, &message, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) {
    return base::ErrnoStatus(errno, "sending the image");
  }
  RETURN_IF_ERROR(Expect(SYS_recvmsg, {kConversation, at, MSG_DONTWAIT | MSG_CMSG_CLOEXEC}, 1));
  int number = -1;
  RETURN_IF_ERROR(memory_.Read(place(&there.control) + CMSG_LEN(0), &number, sizeof(number)));
  return number;
}

absl::StatusOr<int> RemoteCalls::Open(const std::string& path) {
  ASSIGN_OR_RETURN(const std::uint64_t at, Scratch(path.size() + 1));
  RETURN_IF_ERROR(memory_.Write(at, path.c_str(), path.size() + 1));
  ASSIGN_OR_RETURN(const std::int64_t number,
                   Make(SYS_openat, {static_cast<std::uint64_t>(AT_FDCWD), at,
                                     O_RDONLY | O_CLOEXEC | O_NOFOLLOW}));
  if (number < 0) return CannotRewind(base::StrCat("it cannot open ", path));
  return static_cast<int>(number);
}

absl::Status RemoteCalls::Close(int number) {
  return Expect(SYS_close, {static_cast<std::uint64_t>(number)}, 0);
}

}  // namespace ncn::rewind
