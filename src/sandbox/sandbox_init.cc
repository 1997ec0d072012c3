#include "sandbox/sandbox_init.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "sandbox/confinement.h"
#include "sandbox/landlock.h"
#include "sandbox/sandbox_setup.h"
#include "sandbox/system_calls.h"

namespace ncn::sandbox {
namespace {

constexpr std::size_t kPayloadStackBytes = 256 << 10;

struct Payload {
  const Orders& orders;
  SetupJournal& journal;
  std::vector<char*> argv;
  std::vector<char*> environment;
  int work_folder = -1;
};

// The payload, until it becomes the command. Shares its memory with the mini-init, which stands
// still meanwhile.
int RunPayload(void* argument) {
  Payload& payload = *static_cast<Payload*>(argument);
  SetupJournal& journal = payload.journal;
  // /work is the mini-init's to keep until the node has taken it.
  if (!journal.Begin(SetupStep::kDescriptors)) GiveUp(journal);
  ::close(kWorkFolderInside);
  PutOnLastLayers(payload.orders, payload.work_folder, journal);
  AwaitGo();
  if (journal.Begin(SetupStep::kExecute)) {
    ::execve(payload.argv[0], payload.argv.data(), payload.environment.data());
    journal.FailErrno(payload.argv[0]);
  }
  GiveUp(journal);
}

// Makes the payload and returns when it has become the command, or died.
pid_t StartPayload(Payload& payload) {
  void* stack = ::mmap(nullptr, kPayloadStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return -1;
  return ::clone(RunPayload, static_cast<char*>(stack) + kPayloadStackBytes,
                 CLONE_VM | CLONE_VFORK | SIGCHLD, &payload);
}

// The mini-init needs nothing any more but to wait; it takes tighter layers than the payload so
// that it is no stepping stone.
void ConfineInit(const LaunchRequest& request) {
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  CloseRange(0, 2);
  CloseRange(kControlInside + 1, ~0U);
  std::string_view failed;
  if (request.landlock && RestrictWithLandlock(LandlockAbi(), {}, failed) != 0)
    ::_exit(kSetupFailed);
  if (!AllowOnlyReaping()) ::_exit(kSetupFailed);
}

[[noreturn]] void ReapUntilPayloadEnds(pid_t payload) {
  for (;;) {
    int status = 0;
    const pid_t ended = ::waitpid(-1, &status, 0);
    if (ended < 0 && errno == EINTR) continue;
    if (ended != payload && ended > 0) continue;
    LaunchReport report;
    report.kind = ReportKind::kEnded;
    report.wait_status = status;
    Send(report);
    ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : kSetupFailed);
  }
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

void RunSandboxInit(int control, int mapped) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  ::setsid();  // No controlling terminal.
  const Orders orders = AwaitOrders(control);
  const LaunchRequest& request = orders.request;
  // Without a pid namespace, orphans come to us at least.
  if ((request.namespaces & CLONE_NEWPID) == 0) ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  SetupJournal journal(request.fail_step);
  const int work_folder = SetUp(control, mapped, orders, journal);
  if (!journal.Begin(SetupStep::kPayload)) GiveUp(journal);
  Payload payload{orders, journal, Pointers(request.argv), Pointers(request.environment),
                  work_folder};
  const pid_t child = StartPayload(payload);
  if (child < 0) {
    journal.FailErrno("clone");
    GiveUp(journal);
  }
  ConfineInit(request);
  ReapUntilPayloadEnds(child);
}

void EnterSandbox(int control, int mapped) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  ::setsid();
  const Orders orders = AwaitOrders(control);
  SetupJournal journal(orders.request.fail_step);
  const int work_folder = SetUp(control, mapped, orders, journal);
  PutOnLastLayers(orders, work_folder, journal);
  AwaitGo();
  CloseRange(kControlInside, ~0U);
}

}  // namespace ncn::sandbox
