#include "sandbox/launcher_client.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "sandbox/message_socket.h"

namespace ncn::sandbox {
namespace {

constexpr char kProgram[] = "sandbox_launcher";
constexpr int kRequestsInLauncher = 3, kDoorbellInLauncher = 4;

}  // namespace

absl::StatusOr<std::unique_ptr<LauncherClient>> LauncherClient::Start(
    const std::string& path, const std::vector<std::string>& cgroup_folders) {
  if (::access(path.c_str(), X_OK) != 0) {
    return base::ErrnoStatus(errno, base::StrCat("the program ", kProgram, " is needed at ", path,
                                                 ", beside compute_node, and cannot be run"));
  }
  ASSIGN_OR_RETURN(auto ends, MessageSocketPair());
  base::UniqueFd doorbell(::eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE));
  if (!doorbell.valid()) return base::ErrnoStatus(errno, "eventfd");
  std::vector<std::string> words = {kProgram, std::to_string(kRequestsInLauncher),
                                    std::to_string(kDoorbellInLauncher)};
  words.insert(words.end(), cgroup_folders.begin(), cgroup_folders.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  char* environment[] = {nullptr};

  // Out of the way of the numbers that they are to get.
  const base::UniqueFd requests(::fcntl(ends.second.get(), F_DUPFD_CLOEXEC, 10));
  const base::UniqueFd bell(::fcntl(doorbell.get(), F_DUPFD_CLOEXEC, 10));
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, requests.get(), kRequestsInLauncher);
  ::posix_spawn_file_actions_adddup2(&actions, bell.get(), kDoorbellInLauncher);
  ::posix_spawn_file_actions_addclosefrom_np(&actions, kDoorbellInLauncher + 1);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, path.c_str(), &actions, nullptr, argv.data(), environment);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return base::ErrnoStatus(error, "start of " + path);
  return std::unique_ptr<LauncherClient>(
      new LauncherClient(std::move(ends.first), std::move(doorbell), pid));
}

std::unique_ptr<LauncherClient> LauncherClient::Adopt(base::UniqueFd requests,
                                                      base::UniqueFd doorbell) {
  return std::unique_ptr<LauncherClient>(
      new LauncherClient(std::move(requests), std::move(doorbell), -1));
}

LauncherClient::~LauncherClient() {
  requests_.reset();
  while (pid_ > 0 && ::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

absl::Status LauncherClient::Clone(const CloneRequest& request, int channel) {
  const absl::Status sent = SendMessage(requests_.get(), Encode(request), {channel});
  // A datagram wakes its receiver on the sender's processor, since a sender mostly waits for the
  // answer. This one goes on: an eventfd wakes the launcher on a processor that is idle.
  if (sent.ok() && ::eventfd_write(doorbell_.get(), 1) == 0) return sent;
  return absl::UnavailableError(base::StrCat("the program ", kProgram, " does not answer (",
                                             base::ToStd(sent.message()), "): restart the node"));
}

}  // namespace ncn::sandbox
