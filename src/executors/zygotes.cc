#include "executors/zygotes.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/files.h"
#include "base/logging.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "executors/execution_policy.h"

namespace ncn::executors {
namespace {

using std::chrono::milliseconds;

constexpr char kLibraryInside[] = "/zygote/libncn_zygote.so";
constexpr char kModelsInside[] = "/models";
constexpr milliseconds kFirstPause{100};
constexpr milliseconds kPauseMax{30'000};
// One that dies sooner has not got through its imports; after any other, the count begins afresh.
constexpr std::chrono::seconds kSound{3};
constexpr std::uint32_t kProcessesMax = 4096;
constexpr std::uint64_t kMemoryBytes = 4ULL << 30;  // A framework's, whatever a request may have.
constexpr std::size_t kScriptBytesMax = 1 << 20;
// A word too many costs a script some memory, one too few an import for each request.
constexpr std::array<const char*, 5> kFrameworkWords = {"torch", "onnx", "safetensors",
                                                        "transformers", "backends"};
constexpr std::chrono::hours kForEver(24 * 365 * 10);

}  // namespace

std::string_view Name(Framework framework) {
  constexpr std::array<std::string_view, 4> kNames = {"torch", "onnxruntime", "native", "plain"};
  return kNames[static_cast<std::size_t>(framework)];
}

Framework FrameworkFor(const Executor& executor, const models::Model& model) {
  if (executor.native()) return Framework::kNative;
  if (executor.inside_path.rfind(base::StrCat(kModelInside, "/"), 0) == 0) {
    const auto script =
        base::ReadFile(model.root / model.manifest.executor_script, kScriptBytesMax);
    const bool plain = script.ok() && std::none_of(kFrameworkWords.begin(), kFrameworkWords.end(),
                                                   [&](const char* word) {
                                                     return script->find(word) != std::string::npos;
                                                   });
    if (plain) return Framework::kPlain;
  }
  return model.format == models::ModelFormat::kOnnx ? Framework::kOnnxRuntime : Framework::kTorch;
}

Zygotes::Zygotes(sandbox::Sandbox& sandbox, RuntimeEnvironment environment, Options options,
                 const base::Clock& clock)
    : sandbox_(sandbox),
      environment_(std::move(environment)),
      options_(std::move(options)),
      clock_(clock) {}

std::vector<Zygotes::FolderSeen> Zygotes::LookAtModels() const {
  std::vector<FolderSeen> seen;
  for (const std::filesystem::path& folder : options_.models) {
    struct stat info;
    const bool there = ::stat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
    seen.push_back(there ? FolderSeen{info.st_dev, info.st_ino} : FolderSeen{});
  }
  return seen;
}

absl::StatusOr<std::unique_ptr<sandbox::Zygote>> Zygotes::Start(
    Framework framework, const std::vector<FolderSeen>& models) const {
  inference::ExecutionLimits limits = options_.limits;
  // Its children's limits may not be above its own.
  limits.cpu_time = kForEver;
  limits.processes = std::max(limits.processes, kProcessesMax);
  limits.memory_bytes = std::max(limits.memory_bytes, kMemoryBytes);
  sandbox::PolicyBuilder builder = BasePolicy(environment_);
  builder.SetProfile(sandbox::SeccompProfile::kZygote).SetLimits(limits);
  for (std::size_t i = 0; i < models.size(); ++i) {
    const bool twice = std::find(models.begin(), models.begin() + static_cast<std::ptrdiff_t>(i),
                                 models[i]) != models.begin() + static_cast<std::ptrdiff_t>(i);
    if (models[i] == FolderSeen{} || twice) continue;
    builder.AddReadOnly(options_.models[i].native(), base::StrCat(kModelsInside, "/", i));
  }
  if (framework == Framework::kNative) {
    builder.AddReadOnlyExecutable(options_.native_program.native(), kNativeInside);
  } else {
    builder.AddReadOnly(options_.executors_path.native(), kExecutorsInside)
        .AddReadOnlyExecutable(options_.library.native(), kLibraryInside);
  }
  ASSIGN_OR_RETURN(const sandbox::SandboxPolicy policy, builder.Build());
  return sandbox_.StartZygote(policy, CommandFor(framework));
}

sandbox::SandboxCommand Zygotes::CommandFor(Framework framework) const {
  sandbox::SandboxCommand command{
      .argv = {kNativeInside, "--library", environment_.onnxruntime},
      .environment = {"PATH=/usr/bin:/bin", "HOME=/work", "TMPDIR=/tmp", "LANG=C.UTF-8"},
      .lifetime = kForEver};
  if (framework != Framework::kNative) {
    command.argv = {environment_.python,
                    "-s",
                    base::StrCat(kExecutorsInside, "/zygote.py"),
                    "--framework",
                    std::string(Name(framework)),
                    "--library",
                    kLibraryInside};
    command.environment.insert(
        command.environment.end(),
        {"PYTHONDONTWRITEBYTECODE=1", "UCX_VFS_ENABLE=n", "UCX_LOG_LEVEL=fatal",
         base::StrCat("PYTHONPATH=", kExecutorsInside),
         // Fewer pages to copy the tables of at each fork. The native executor has so few that the
         // memory would cost more.
         "GLIBC_TUNABLES=glibc.malloc.hugetlb=1"});
  }
  command.argv.insert(command.argv.end(), {"--requests", std::to_string(sandbox::kZygoteRequests),
                                           "--doorbell", std::to_string(sandbox::kZygoteDoorbell)});
  return command;
}

absl::StatusOr<std::shared_ptr<sandbox::Zygote>> Zygotes::Get(Framework framework) {
  return slots_[static_cast<std::size_t>(framework)].With(
      [&](Slot& slot) -> absl::StatusOr<std::shared_ptr<sandbox::Zygote>> {
        const std::vector<FolderSeen> models = LookAtModels();
        if (slot.zygote != nullptr && slot.zygote->alive()) {
          if (slot.models == models) return slot.zygote;
          base::Log("executors")
              .info("{} zygote {} is replaced: the folders of models are others", Name(framework),
                    slot.zygote->pid());
          slot = {};
        }
        slot.wanted = true;
        const base::SteadyTime now = clock_.SteadyNow();
        if (slot.zygote != nullptr) {
          slot.deaths = now - slot.started_at >= kSound ? 1 : slot.deaths + 1;
          slot.retry_at = now + std::min(kPauseMax, kFirstPause * (1 << std::min(slot.deaths, 8)));
          slot.zygote.reset();
        }
        if (now < slot.retry_at) {
          return absl::UnavailableError(
              base::StrCat("the ", Name(framework), " zygote has ended ", slot.deaths,
                           " times in a row; it is started again in ",
                           std::chrono::ceil<milliseconds>(slot.retry_at - now).count(), " ms"));
        }
        auto started = Start(framework, models);
        if (!started.ok()) {
          slot.retry_at =
              now + std::min(kPauseMax, kFirstPause * (1 << std::min(++slot.deaths, 8)));
          return started.status();
        }
        slot.zygote = *std::move(started);
        slot.models = models;
        slot.started_at = now;
        base::Log("executors")
            .info("{} zygote started, pid {}", Name(framework), slot.zygote->pid());
        return slot.zygote;
      });
}

void Zygotes::Tend() {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const bool ended = slots_[i].With([](const Slot& slot) {
      return slot.wanted && (slot.zygote == nullptr || !slot.zygote->alive());
    });
    if (!ended) continue;
    // The first call sees that it has ended; whoever needs one hears why there is none.
    (void)Get(static_cast<Framework>(i));
  }
}

}  // namespace ncn::executors
