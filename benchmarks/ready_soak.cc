// Many requests over many models with memory for some of them, while zygotes and children are
// killed at random: ready_soak MODELS INPUT CONTENT_TYPE COUNT [BUDGET_MB]. Every answer is
// compared with the first of its model. Prints what happened as JSON; exit status 1 when a request
// was lost, an answer was wrong or something was left behind.

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "base/files.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "base/synchronized.h"
#include "config/locations.h"
#include "executors/cold_script_runner.h"
#include "executors/ready_script_runner.h"

namespace ncn::benchmarks {
namespace {

using std::chrono::seconds;

constexpr int kThreads = 4;
constexpr std::size_t kInputBytesMax = 64 << 20;
constexpr std::chrono::milliseconds kBetweenKills{700};
constexpr int kGrowthKibMax = 64 << 10;

// Parent of each process of the machine that we may look at.
std::multimap<int, int> ChildrenByParent() {
  std::multimap<int, int> children;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    int pid = 0;
    std::from_chars(name.data(), name.data() + name.size(), pid);
    const auto stat =
        pid > 0 ? base::ReadFile(entry.path() / "stat", 4096) : absl::NotFoundError("");
    if (!stat.ok()) continue;
    int parent = 0;
    std::istringstream(stat->substr(stat->rfind(')') + 3)) >> parent;
    children.emplace(parent, pid);
  }
  return children;
}

void AddBelow(const std::multimap<int, int>& children, int pid, int depth,
              std::vector<std::pair<int, int>>& found) {
  const auto [begin, end] = children.equal_range(pid);
  for (auto at = begin; at != end; ++at) {
    found.emplace_back(at->second, depth);
    AddBelow(children, at->second, depth + 1, found);
  }
}

// Descendants with their depth: launcher 1, mini-inits 2, zygotes 3, children 4.
std::vector<std::pair<int, int>> Descendants() {
  std::vector<std::pair<int, int>> found;
  AddBelow(ChildrenByParent(), ::getpid(), 1, found);
  return found;
}

std::int64_t ResidentKib() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::int64_t kib = 0;
    if (word == "VmRSS:" && status >> kib) return kib;
  }
  return 0;
}

std::size_t Descriptors() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    count += entry.exists();
  return count;
}

struct Tally {
  std::atomic<int> asked = 0, answered = 0, wrong = 0, lost = 0, cold = 0, kills = 0,
                   zygote_kills = 0;
};

void Kill(std::stop_token stop, Tally& tally) {
  std::mt19937 random(7);
  while (!stop.stop_requested()) {
    std::this_thread::sleep_for(kBetweenKills);
    const auto all = Descendants();
    std::vector<int> zygotes, children;
    for (const auto& [pid, depth] : all) {
      // A cold sandbox's process is not ready: who kills it loses its request.
      const auto command = base::ReadFile(base::StrCat("/proc/", pid, "/cmdline"), 4096);
      if (!command.ok() || command->find("zygote.py") == std::string::npos) continue;
      if (depth == 3) zygotes.push_back(pid);
      if (depth == 4) children.push_back(pid);
    }
    const bool zygote = random() % 8 == 0;
    const auto& victims = zygote ? zygotes : children;
    if (victims.empty()) continue;
    if (::kill(victims[random() % victims.size()], SIGKILL) == 0) {
      ++(zygote ? tally.zygote_kills : tally.kills);
    }
  }
}

// One run from its set-up to its figures; parts would share most of the variables.
// NOLINTNEXTLINE(readability-function-size): see above.
absl::StatusOr<bool> Soak(const std::string& folder, const std::string& input,
                          const std::string& type, int count, std::uint64_t budget_mb) {
  RETURN_IF_ERROR(base::ConfigureLogging("error"));
  ASSIGN_OR_RETURN(auto sandbox, sandbox::CreateSandbox({.launcher_path = NCN_LAUNCHER}));
  ASSIGN_OR_RETURN(const std::string bytes, base::ReadFile(input, kInputBytesMax));
  const base::Clock& clock = base::Clock::System();
  const std::filesystem::path scripts = NCN_EXECUTORS;
  ASSIGN_OR_RETURN(const auto selector,
                   executors::ExecutorSelector::Create(scripts, NCN_NATIVE_EXECUTOR));
  ASSIGN_OR_RETURN(const auto environment,
                   executors::RuntimeEnvironment::Locate(scripts, config::DefaultRuntimeImage()));
  const models::ModelStore store(folder);
  inference::ExecutionLimits limits;
  limits.cpu_time = std::chrono::hours(24);
  executors::ColdScriptRunner cold(*sandbox, environment, scripts, {.limits = limits}, clock);
  executors::Zygotes zygotes(*sandbox, environment,
                             {.executors_path = scripts,
                              .library = NCN_ZYGOTE_LIBRARY,
                              .native_program = NCN_NATIVE_EXECUTOR,
                              .models = {folder},
                              .limits = limits},
                             clock);
  std::vector<std::shared_ptr<const models::Model>> models;
  for (const inference::ModelId& id : store.List()) {
    ASSIGN_OR_RETURN(models.emplace_back(), store.Find(id));
  }
  Tally tally;
  std::size_t descriptors = 0, descriptors_end = 0;
  std::int64_t kib = 0, kib_end = 0;
  std::uint64_t most_memory = 0;
  const auto began = std::chrono::steady_clock::now();
  {
    executors::ReadyScriptRunner runner(
        zygotes, cold, sandbox->mode(), environment, scripts,
        {.limits = limits, .cache = {.memory_bytes = budget_mb << 20, .children_max = 4}}, clock);
    base::Synchronized<std::map<std::string, std::string>> answers;
    const auto ask = [&](int number) {
      const models::Model& model = *models[static_cast<std::size_t>(number) % models.size()];
      const auto candidates = selector.Candidates(model);
      const inference::InferenceRequest request{
          .id = *inference::RequestId::Parse("soak"), .model = model.id, .input = {bytes, type}};
      ++tally.asked;
      const auto outcome = runner.Run({.executor = candidates->front(),
                                       .model = model,
                                       .request = request,
                                       .deadline = std::chrono::steady_clock::now() + seconds(120),
                                       .stop = {}});
      const auto* result = std::get_if<inference::InferenceResult>(&outcome);
      if (result == nullptr) {
        ++tally.lost;
        const auto& failure = std::get<inference::Failure>(outcome);
        std::fprintf(stderr, "lost: %s %s\n", failure.message.c_str(), failure.detail.c_str());
        return;
      }
      ++tally.answered;
      if (result->record.isolation == "cold") ++tally.cold;
      answers.With([&](auto& known) {
        const auto [at, fresh] = known.emplace(model.id.value(), result->output.bytes);
        if (!fresh && at->second != result->output.bytes) ++tally.wrong;
      });
    };
    const auto run = [&](int from, int to) {
      std::atomic<int> next = from;
      std::vector<std::jthread> threads;
      for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&] {
          // In runs of one model, with jumps, as clients come.
          for (int i = next++; i < to; i = next++) ask(i / 16 + (i % 16 == 0 ? i % 10 : 0));
        });
      }
    };
    run(0, count / 10);
    descriptors = Descriptors();
    kib = ResidentKib();
    {
      const std::jthread killer([&](std::stop_token stop) { Kill(std::move(stop), tally); });
      run(count / 10, count);
    }
    for (const executors::CacheEntry& entry : runner.Entries()) most_memory += entry.memory_bytes;
    descriptors_end = Descriptors();
    kib_end = ResidentKib();
  }
  std::size_t children = 0;
  for (const auto& [pid, depth] : Descendants()) children += depth >= 4 ? 1 : 0;
  const bool clean = tally.lost == 0 && tally.wrong == 0 && children == 0 &&
                     kib_end - kib < kGrowthKibMax && descriptors_end < descriptors + 64;
  const nlohmann::json figures = {
      {"asked", tally.asked.load()},
      {"answered", tally.answered.load()},
      {"wrong", tally.wrong.load()},
      {"lost", tally.lost.load()},
      {"answered_cold", tally.cold.load()},
      {"children_killed", tally.kills.load()},
      {"zygotes_killed", tally.zygote_kills.load()},
      {"models", models.size()},
      {"budget_mb", budget_mb},
      {"ready_memory_mb_at_the_end", most_memory >> 20},
      {"resident_growth_kib", kib_end - kib},
      {"descriptors_before_and_after", {descriptors, descriptors_end}},
      {"children_left", children},
      {"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count()},
      {"clean", clean}};
  std::printf("%s\n", figures.dump(2).c_str());
  return clean;
}

}  // namespace
}  // namespace ncn::benchmarks

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "Usage: ready_soak MODELS INPUT CONTENT_TYPE COUNT [BUDGET_MB]\n");
    return 2;
  }
  const auto clean = ncn::benchmarks::Soak(argv[1], argv[2], argv[3],
                                           static_cast<int>(std::strtol(argv[4], nullptr, 10)),
                                           argc > 5 ? std::strtoull(argv[5], nullptr, 10) : 128);
  if (!clean.ok()) {
    std::fprintf(stderr, "Error: %s\n", std::string(clean.status().message()).c_str());
    return 1;
  }
  return *clean ? 0 : 1;
}
