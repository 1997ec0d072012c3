// Many requests over ten models with memory for some of them, while zygotes and children are killed
// at random: ready_soak DATA COUNT LEVEL BUDGET_MB, as ready_soak.py starts it. DATA is the folder
// that ready_models.py makes. Every answer is compared with the one that the cold way gave to the
// same input before. Prints what happened as JSON; exit status 1 when a request was lost, an answer
// was wrong or something was left behind.

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "base/files.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "benchmarks/ready_leftovers.h"
#include "config/locations.h"
#include "executors/cold_script_runner.h"
#include "executors/ready_script_runner.h"
#include "rewind/self_check.h"

namespace ncn::benchmarks {
namespace {

using executors::Outcome;
using std::chrono::seconds;

constexpr unsigned kThreads = 4;
constexpr unsigned kColdThreads = 2;
constexpr std::size_t kInputBytesMax = 64 << 20;
constexpr std::chrono::milliseconds kBetweenKills{700};
constexpr int kGrowthKibMax = 64 << 10;
constexpr int kDescriptorsMax = 8;
constexpr std::uint64_t kRoomFor = 4;  // Models, of all that there are.
constexpr int kTenants = 3;
constexpr seconds kPatience{120};

struct Tally {
  std::atomic<int> asked = 0, answered = 0, wrong = 0, lost = 0, cold = 0, kills = 0,
                   zygote_kills = 0, native_kills = 0;
};

// One input of one model, and what is to come of it.
struct Question {
  std::shared_ptr<const models::Model> model;
  executors::Executor executor;
  inference::Payload input;
  std::string answer;
};

// All that a soak needs and that outlives it.
struct Ground {
  std::unique_ptr<sandbox::Sandbox> sandbox;
  executors::RuntimeEnvironment environment;
  std::unique_ptr<models::ModelStore> store;
  inference::ExecutionLimits limits;
  bool snapshots = false;                        // As a node has them where the kernel can.
  std::vector<std::vector<Question>> questions;  // By model.
};

// Calls `act` with each number below `count`, on so many threads.
void Share(int count, unsigned threads, const std::function<void(int)>& act) {
  std::atomic<int> next = 0;
  std::vector<std::jthread> running;
  for (unsigned t = 0; t < threads; ++t) {
    running.emplace_back([&] {
      for (int i = next++; i < count; i = next++) act(i);
    });
  }
}

Outcome Ask(executors::ScriptRunner& runner, const Question& question, int number) {
  const inference::InferenceRequest request{
      .id = *inference::RequestId::Parse(base::StrCat("soak-", number)),
      .model = question.model->id,
      .input = question.input,
      .client_address = base::StrCat("tenant-", number % kTenants)};
  return runner.Run({.executor = question.executor,
                     .model = *question.model,
                     .request = request,
                     .deadline = std::chrono::steady_clock::now() + kPatience,
                     .stop = {}});
}

absl::Status ReadQuestions(const std::filesystem::path& data, Ground& ground) {
  ASSIGN_OR_RETURN(const auto selector,
                   executors::ExecutorSelector::Create(NCN_EXECUTORS, NCN_NATIVE_EXECUTOR));
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(data / "soak.json", kInputBytesMax));
  const auto index = nlohmann::json::parse(text, nullptr, false);
  if (!index.is_object()) return absl::DataLossError("soak.json is no JSON object");
  for (const auto& [name, inputs] : index.items()) {
    ASSIGN_OR_RETURN(const auto id, inference::ModelId::Parse(name));
    ASSIGN_OR_RETURN(const auto model, ground.store->Find(id));
    ASSIGN_OR_RETURN(const auto candidates, selector.Candidates(*model));
    std::vector<Question>& questions = ground.questions.emplace_back();
    for (const auto& input : inputs) {
      ASSIGN_OR_RETURN(std::string bytes,
                       base::ReadFile(data / "inputs" / input.value("file", ""), kInputBytesMax));
      questions.push_back(
          {model, candidates.front(), {std::move(bytes), input.value("content_type", "")}, ""});
    }
  }
  return absl::OkStatus();
}

// Answers every question the cold way, which shares nothing with what is examined.
absl::Status FindAnswers(executors::ScriptRunner& cold, Ground& ground) {
  std::vector<Question*> all;
  for (auto& questions : ground.questions) {
    for (Question& question : questions) all.push_back(&question);
  }
  std::mutex mutex;
  absl::Status status;
  Share(static_cast<int>(all.size()), kColdThreads, [&](int i) {
    Question& question = *all[static_cast<std::size_t>(i)];
    Outcome outcome = Ask(cold, question, i);
    if (auto* result = std::get_if<inference::InferenceResult>(&outcome)) {
      question.answer = std::move(result->output.bytes);
      return;
    }
    const auto& failure = std::get<inference::Failure>(outcome);
    const std::lock_guard lock(mutex);
    status.Update(absl::InternalError(base::StrCat(
        question.model->id.value(), ", cold: ", failure.message, " ", failure.detail)));
  });
  return status;
}

void Kill(const std::stop_token& stop, Tally& tally) {
  std::mt19937 random(7);
  while (!stop.stop_requested()) {
    std::this_thread::sleep_for(kBetweenKills);
    std::vector<int> zygotes, children;
    for (const auto& [pid, depth] : Descendants()) {
      if (depth < 3 || !IsOfZygote(pid)) continue;
      (depth == 3 ? zygotes : children).push_back(pid);
    }
    const bool zygote = random() % 8 == 0;
    const auto& victims = zygote ? zygotes : children;
    if (victims.empty()) continue;
    const int victim = victims[random() % victims.size()];
    const auto command = base::ReadFile(base::StrCat("/proc/", victim, "/cmdline"), 4096);
    if (::kill(victim, SIGKILL) != 0) continue;
    ++(zygote ? tally.zygote_kills : tally.kills);
    if (command.ok() && command->find(executors::kNativeInside) != std::string::npos) {
      ++tally.native_kills;
    }
  }
}

// What all models take when one child of each is ready.
absl::StatusOr<std::uint64_t> MemoryOfAll(executors::ReadyScriptRunner& runner,
                                          const Ground& ground) {
  for (const auto& questions : ground.questions) {
    runner.Preload(*questions.front().model, questions.front().executor);
  }
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    std::uint64_t sum = 0;
    std::size_t ready = 0;
    for (const executors::CacheEntry& entry : runner.Entries()) {
      sum += entry.memory_bytes;
      ready += entry.ready > 0 ? 1 : 0;
    }
    if (ready == ground.questions.size()) return sum;
    if (std::chrono::steady_clock::now() > deadline) {
      return absl::DeadlineExceededError("not every model got ready");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

// What there is when no model is ready. Ready ones take memory and descriptors, some more and some
// less.
Leftovers LookWhenEmpty(executors::ReadyScriptRunner& runner, const Ground& ground) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  const auto is_empty = [&] {
    const auto entries = runner.Entries();
    return std::ranges::all_of(entries, [](const executors::CacheEntry& entry) {
      return entry.state == executors::CacheState::kCold;
    });
  };
  do {
    for (const auto& questions : ground.questions) {
      static_cast<void>(runner.Forget(questions.front().model->id));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  } while (!is_empty() && std::chrono::steady_clock::now() < deadline);
  return Leftovers::Look();
}

void AskAndCompare(executors::ScriptRunner& runner, const Ground& ground, int number,
                   Tally& tally) {
  // In runs of one model, with jumps, as clients come.
  const auto turn = static_cast<std::size_t>(number / 16 + (number % 16 == 0 ? number % 10 : 0));
  const auto& questions = ground.questions[turn % ground.questions.size()];
  const Question& question = questions[static_cast<std::size_t>(number) % questions.size()];
  if (const int asked = ++tally.asked; asked % 1000 == 0) std::fprintf(stderr, "asked %d\n", asked);
  const Outcome outcome = Ask(runner, question, number);
  const auto* result = std::get_if<inference::InferenceResult>(&outcome);
  if (result == nullptr) {
    ++tally.lost;
    const auto& failure = std::get<inference::Failure>(outcome);
    std::fprintf(stderr, "lost: %s: %s %s\n", question.model->id.value().c_str(),
                 failure.message.c_str(), failure.detail.c_str());
    return;
  }
  ++tally.answered;
  if (result->record.isolation == "cold") ++tally.cold;
  if (result->output.bytes != question.answer) {
    ++tally.wrong;
    std::fprintf(stderr, "wrong: %s\n", question.model->id.value().c_str());
  }
}

// The soak itself; what it leaves is looked for when all of it is gone.
absl::StatusOr<nlohmann::json> Run(Ground& ground, executors::ScriptRunner& cold, int count,
                                   executors::Isolation level, std::uint64_t budget_mb,
                                   Tally& tally) {
  const base::Clock& clock = base::Clock::System();
  executors::Zygotes zygotes(*ground.sandbox, ground.environment,
                             {.executors_path = NCN_EXECUTORS,
                              .library = NCN_ZYGOTE_LIBRARY,
                              .native_program = NCN_NATIVE_EXECUTOR,
                              .models = ground.store->folders(),
                              .limits = ground.limits},
                             clock);
  const auto options = [&](std::uint64_t memory_bytes) {
    return executors::ReadyScriptRunner::Options{
        .limits = ground.limits,
        .isolation = level,
        .snapshots = ground.snapshots,
        .cache = {.memory_bytes = memory_bytes, .children_max = 4}};
  };
  std::uint64_t memory = budget_mb << 20, of_all = 0;
  {
    executors::ReadyScriptRunner measured(zygotes, cold, ground.sandbox->mode(), ground.environment,
                                          NCN_EXECUTORS, options(std::uint64_t{1} << 40), clock);
    ASSIGN_OR_RETURN(of_all, MemoryOfAll(measured, ground));
  }
  if (memory == 0) memory = of_all * kRoomFor / ground.questions.size();
  executors::ReadyScriptRunner runner(zygotes, cold, ground.sandbox->mode(), ground.environment,
                                      NCN_EXECUTORS, options(memory), clock);
  const int first = count / 10;
  Share(first, kThreads, [&](int i) { AskAndCompare(runner, ground, i, tally); });
  const Leftovers before = LookWhenEmpty(runner, ground);
  {
    const std::jthread killer([&](const std::stop_token& stop) { Kill(stop, tally); });
    Share(count - first, kThreads, [&](int i) { AskAndCompare(runner, ground, first + i, tally); });
  }
  std::uint64_t at_end = 0;
  for (const executors::CacheEntry& entry : runner.Entries()) at_end += entry.memory_bytes;
  const Leftovers after = LookWhenEmpty(runner, ground);
  return nlohmann::json{{"level", executors::Name(level)},
                        {"models", ground.questions.size()},
                        {"memory_of_all_mb", of_all >> 20},
                        {"budget_mb", memory >> 20},
                        {"ready_memory_mb_at_the_end", at_end >> 20},
                        {"resident_growth_kib", after.resident_kib - before.resident_kib},
                        {"descriptor_growth", after.descriptors - before.descriptors}};
}

absl::StatusOr<bool> Soak(const std::filesystem::path& data, int count, executors::Isolation level,
                          std::uint64_t budget_mb) {
  RETURN_IF_ERROR(base::ConfigureLogging("error"));
  Ground ground;
  ASSIGN_OR_RETURN(ground.sandbox, sandbox::CreateSandbox({.launcher_path = NCN_LAUNCHER}));
  ground.snapshots = rewind::CheckKernel().ok();
  ASSIGN_OR_RETURN(ground.environment, executors::RuntimeEnvironment::Locate(
                                           NCN_EXECUTORS, config::DefaultRuntimeImage()));
  ground.store = std::make_unique<models::ModelStore>(data / "models");
  ground.limits.cpu_time = std::chrono::hours(24);
  RETURN_IF_ERROR(ReadQuestions(data, ground));
  executors::ColdScriptRunner cold(*ground.sandbox, ground.environment, NCN_EXECUTORS,
                                   {.limits = ground.limits}, base::Clock::System());
  std::fprintf(stderr, "answering every input the cold way\n");
  RETURN_IF_ERROR(FindAnswers(cold, ground));
  const Leftovers before = Leftovers::Look();
  const auto began = std::chrono::steady_clock::now();
  Tally tally;
  ASSIGN_OR_RETURN(nlohmann::json figures, Run(ground, cold, count, level, budget_mb, tally));
  const Leftovers after = Leftovers::Look();
  const bool clean = tally.lost == 0 && tally.wrong == 0 && tally.answered == count &&
                     before.GoneAt(after) && figures["resident_growth_kib"] < kGrowthKibMax &&
                     figures["descriptor_growth"] < kDescriptorsMax;
  figures.update(
      {{"asked", tally.asked.load()},
       {"answered", tally.answered.load()},
       {"wrong", tally.wrong.load()},
       {"lost", tally.lost.load()},
       {"answered_cold", tally.cold.load()},
       {"children_killed", tally.kills.load()},
       {"zygotes_killed", tally.zygote_kills.load()},
       {"native_ones_among_them", tally.native_kills.load()},
       {"left_behind", before.GrowthTo(after)},
       {"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count()},
       {"clean", clean}});
  std::printf("%s\n", figures.dump(2).c_str());
  return clean;
}

}  // namespace
}  // namespace ncn::benchmarks

int main(int argc, char** argv) {
  const auto level = argc == 5 ? ncn::executors::IsolationFromName(argv[3]) : std::nullopt;
  if (!level) {
    std::fprintf(stderr,
                 "Usage: ready_soak DATA COUNT request|rewind|tenant BUDGET_MB (0: derived)\n");
    return 2;
  }
  const auto clean =
      ncn::benchmarks::Soak(argv[1], static_cast<int>(std::strtol(argv[2], nullptr, 10)), *level,
                            std::strtoull(argv[4], nullptr, 10));
  if (!clean.ok()) {
    std::fprintf(stderr, "Error: %s\n", std::string(clean.status().message()).c_str());
    return 1;
  }
  return *clean ? 0 : 1;
}
