#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/status_macros.h"
#include "benchmarks/sandbox_benchmark.h"
#include "sandbox/launch_plan.h"

namespace ncn::benchmarks {
namespace {

using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr char kTrue[] = "/usr/bin/true";
constexpr char kBubblewrap[] = "/usr/bin/bwrap";
constexpr int kWarmUpRuns = 5;
constexpr double kRatioTarget = 0.6;

double Rounded(double value) { return std::round(value * 1000) / 1000; }

double Quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(
      std::lround(share * static_cast<double>(values.size() - 1)))];
}

nlohmann::json Figures(const std::vector<double>& values) {
  return {{"median", Rounded(Quantile(values, 0.5))},
          {"p95", Rounded(Quantile(values, 0.95))},
          {"min", Rounded(Quantile(values, 0))}};
}

// Starts a program and waits for its end. False unless it ended with status 0.
bool Spawn(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  char* environment[] = {nullptr};
  pid_t pid = -1;
  if (::posix_spawn(&pid, argv[0], nullptr, nullptr, argv.data(), environment) != 0) return false;
  int status = -1;
  return ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Bubblewrap with what our own sandbox shows, as far as it can: every namespace, the same binds
// and links, a process file system, devices and three writable folders.
std::vector<std::string> BubblewrapCommand(const sandbox::LaunchRequest& plan) {
  std::vector<std::string> words = {kBubblewrap,     "--unshare-all", "--die-with-parent",
                                    "--new-session", "--uid",         "1000",
                                    "--gid",         "1000",          "--proc",
                                    "/proc",         "--dev",         "/dev",
                                    "--tmpfs",       "/dev/shm",      "--tmpfs",
                                    "/tmp",          "--tmpfs",       "/work",
                                    "--chdir",       "/work"};
  for (const sandbox::BindMount& bind : plan.binds) {
    words.insert(words.end(), {"--ro-bind", bind.host_path, bind.inside_path});
  }
  for (const sandbox::RootSymlink& link : plan.symlinks) {
    words.insert(words.end(), {"--symlink", link.target, link.name});
  }
  words.insert(words.end(), {"--", kTrue});
  return words;
}

// What one run of ours took, by phase, in milliseconds.
struct Phases {
  std::map<std::string, std::vector<double>> phases;
  std::map<std::string, std::vector<double>> steps;
};

absl::Status RunOurs(sandbox::Sandbox& sandbox, const sandbox::SandboxPolicy& policy,
                     Phases& taken) {
  auto before = std::chrono::steady_clock::now();
  const auto lap = [&](const char* phase) {
    const auto now = std::chrono::steady_clock::now();
    taken.phases[phase].push_back(Milliseconds(now - before).count());
    before = now;
  };
  auto process = sandbox.Start(policy, {.argv = {kTrue}});
  if (!process.ok()) return process.status();
  lap("start");
  RETURN_IF_ERROR((*process)->Verify());
  lap("verify");
  RETURN_IF_ERROR((*process)->Release());
  const auto outcome = (*process)->Wait({});
  if (!outcome.ok()) return outcome.status();
  if (!outcome->Succeeded()) return absl::InternalError(outcome->Describe());
  lap("run and end");
  process->reset();
  lap("clean up");
  for (const sandbox::SetupStepTime& step : outcome->steps) {
    taken.steps[step.name].push_back(Milliseconds(step.taken).count());
  }
  return absl::OkStatus();
}

// Median and minimum of each.
nlohmann::json MediansAndMinima(const std::map<std::string, std::vector<double>>& all) {
  nlohmann::json medians = nlohmann::json::object();
  for (const auto& [name, values] : all) {
    medians[name] = {Rounded(Quantile(values, 0.5)), Rounded(Quantile(values, 0))};
  }
  return medians;
}

}  // namespace

int MeasureColdStart(sandbox::Sandbox& sandbox, const sandbox::SandboxPolicy& policy, int runs) {
  const auto plan = sandbox::PlanLaunch(policy, {.argv = {kTrue}});
  if (!plan.ok()) return 1;
  const bool compare = ::access(kBubblewrap, X_OK) == 0;
  const std::vector<std::string> bubblewrap = BubblewrapCommand(*plan);
  std::vector<double> bare;
  std::vector<double> ours;
  std::vector<double> theirs;
  Phases taken;
  const auto timed = [](std::vector<double>& times, const std::function<bool()>& run) {
    const auto begun = std::chrono::steady_clock::now();
    if (!run()) return false;
    times.push_back(Milliseconds(std::chrono::steady_clock::now() - begun).count());
    return true;
  };
  absl::Status status;
  for (int i = -kWarmUpRuns; i < runs; ++i) {
    if (i == 0) {
      for (auto* times : {&bare, &ours, &theirs}) times->clear();
      taken = {};
    }
    const bool sound = timed(bare, [] { return Spawn({kTrue}); }) &&
                       timed(ours,
                             [&] {
                               status = RunOurs(sandbox, policy, taken);
                               return status.ok();
                             }) &&
                       (!compare || timed(theirs, [&] { return Spawn(bubblewrap); }));
    if (!sound) {
      std::fprintf(stderr, "Error: a run failed. %s\n", std::string(status.message()).c_str());
      return 1;
    }
  }
  nlohmann::json figures = {
      {"runs", runs},
      {"bare_ms", Figures(bare)},
      {"sandbox_ms", Figures(ours)},
      {"sandbox_phases_median_and_min_ms", MediansAndMinima(taken.phases)},
      {"sandbox_steps_median_and_min_ms", MediansAndMinima(taken.steps)},
  };
  if (compare) {
    figures["bubblewrap_ms"] = Figures(theirs);
    figures["ratio_of_medians"] = Rounded(Quantile(ours, 0.5) / Quantile(theirs, 0.5));
    // On a busy machine the medians tell more of its queues than of either program.
    figures["ratio_of_minima"] = Rounded(Quantile(ours, 0) / Quantile(theirs, 0));
    figures["ratio_target"] = kRatioTarget;
  } else {
    std::fprintf(stderr, "Without a comparison: %s is not there (scripts/setup).\n", kBubblewrap);
  }
  std::printf("%s\n", figures.dump(2).c_str());
  return 0;
}

}  // namespace ncn::benchmarks
