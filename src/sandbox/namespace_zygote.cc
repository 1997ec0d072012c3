#include "sandbox/namespace_zygote.h"

#include <sys/eventfd.h>

#include <cerrno>

#include "base/errno_status.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "sandbox/message_socket.h"

namespace ncn::sandbox {
namespace {

static_assert(kZygoteRequests == kInheritedFd && kZygoteDoorbell == kInheritedFd + 1);

constexpr std::size_t kLastWordsBytes = 2000;

// A zygote runs nothing but our own code, so what it says last may be logged.
void LogEnd(int pid, const absl::StatusOr<SandboxOutcome>& outcome) {
  if (!outcome.ok()) {
    base::Log("sandbox").warn("zygote {} has ended: {}", pid,
                              base::ToStd(outcome.status().message()));
    return;
  }
  if (outcome->kind == OutcomeKind::kKilled) return;
  const std::string& words = outcome->stderr_tail;
  base::Log("sandbox").warn("zygote {} has ended: {}. {}", pid, outcome->Describe(),
                            words.substr(words.size() - std::min(words.size(), kLastWordsBytes)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<NamespaceZygote>> NamespaceZygote::Start(NamespaceSandbox& sandbox,
                                                                        const SandboxPolicy& policy,
                                                                        SandboxCommand command) {
  if (policy.profile() != SeccompProfile::kZygote) {
    return absl::InvalidArgumentError("a zygote needs the zygote's profile");
  }
  ASSIGN_OR_RETURN(auto requests, MessageSocketPair());
  base::UniqueFd doorbell(::eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE));
  if (!doorbell.valid()) return base::ErrnoStatus(errno, "eventfd");
  command.inherited = {requests.second.get(), doorbell.get()};
  ASSIGN_OR_RETURN(auto process, sandbox.Start(policy, std::move(command)));
  if (const auto missing = process->missing(); !missing.empty()) {
    return absl::UnimplementedError(
        base::StrCat("no zygotes without every namespace; missing: ", missing.front()));
  }
  RETURN_IF_ERROR(process->Verify());
  RETURN_IF_ERROR(process->Release());
  return std::unique_ptr<NamespaceZygote>(new NamespaceZygote(
      std::move(process),
      sandbox.OnZygote(LauncherClient::Adopt(std::move(requests.first), std::move(doorbell)),
                       ViewOf(policy))));
}

NamespaceZygote::NamespaceZygote(std::unique_ptr<SandboxedProcess> process,
                                 std::unique_ptr<NamespaceSandbox> children)
    : process_(std::move(process)), children_(std::move(children)), waiter_([this] {
        const auto outcome = process_->Wait({});
        alive_ = false;
        LogEnd(process_->pid(), outcome);
      }) {}

NamespaceZygote::~NamespaceZygote() { process_->Kill(); }

}  // namespace ncn::sandbox
