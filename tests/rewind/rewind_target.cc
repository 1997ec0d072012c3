#include "rewind_target.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "gtest/gtest.h"
#include "rewind/watched_calls.h"

namespace ncn::rewind {
namespace {

[[noreturn]] void Serve(const std::string& filter, RewindTarget::Answer answer, void (*prepare)()) {
  const sock_fprog program{static_cast<unsigned short>(filter.size() / sizeof(sock_filter)),
                           reinterpret_cast<sock_filter*>(const_cast<char*>(filter.data()))};
  std::uint32_t question = 0;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      (program.len > 0 && ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) ||
      ::read(kConversation, &question, sizeof(question)) != sizeof(question)) {
    ::_exit(1);
  }
  ::dup2(1, kHeldAt);  // Nothing that stays open gets this number.
  if (prepare != nullptr) prepare();
  ::close(kHeldAt);
  std::uint8_t byte = 0;
  while (::write(kConversation, &byte, 1) == 1 &&
         ::read(kConversation, &question, sizeof(question)) == sizeof(question)) {
    byte = answer(question);
  }
  ::_exit(0);
}

}  // namespace

RewindTarget::RewindTarget(Answer answer, void (*prepare)(), Filter wanted) {
  const auto filter = CompileWatchFilter();
  int ends[2];
  EXPECT_TRUE(filter.ok()) << filter.status();
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(ends[1], kConversation);
    ::close_range(3, ~0U, 0);
    Serve(wanted == Filter::kNone ? "" : *filter, answer, prepare);
  }
  socket_.reset(ends[0]);
  ::close(ends[1]);
  // Held: it has put the filter on and waits.
  while (true) {
    char state = 0;
    FILE* const file = ::fopen(("/proc/" + std::to_string(pid_) + "/syscall").c_str(), "r");
    const bool read = file != nullptr && ::fscanf(file, "%c", &state) == 1;
    if (file != nullptr) ::fclose(file);
    if (read && state == '0') break;
    std::this_thread::yield();
  }
  auto attached = Rewinder::Attach(pid_);
  EXPECT_TRUE(attached.ok()) << attached.status();
  rewinder_ = *std::move(attached);
  std::uint8_t byte = 0;
  EXPECT_TRUE(Ask(0, &byte));
}

RewindTarget::~RewindTarget() {
  rewinder_.reset();  // Kills it.
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

bool RewindTarget::Send(std::uint32_t question) {
  return ::write(socket_.get(), &question, sizeof(question)) == sizeof(question);
}

bool RewindTarget::Ask(std::uint32_t question, std::uint8_t* answer) {
  return Send(question) && ::read(socket_.get(), answer, 1) == 1;
}

absl::Status RewindTarget::Snapshot(std::uint32_t question) {
  if (absl::Status taken = rewinder_->TakeSnapshot(socket_.get()); !taken.ok()) return taken;
  std::uint8_t byte = 0;
  if (question != 0 && !Ask(question, &byte)) return absl::UnavailableError("it has ended");
  return rewinder_->Learn().status();
}

absl::Status RewindTarget::Become(const RewindTarget& other) {
  const auto snapshot = other.rewinder().Share();
  if (!snapshot.ok()) return snapshot.status();
  return rewinder_->Become(*snapshot, socket_.get()).status();
}

}  // namespace ncn::rewind
