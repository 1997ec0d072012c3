#include "sync/synchronizer.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "sync/content.h"
#include "sync/decision.h"
#include "sync/model_tree.h"
#include "sync/progress_text.h"

namespace ncn::sync {
namespace {

namespace fs = std::filesystem;
using Kind = ModelOutcome::Kind;

SynchronizerOptions Completed(SynchronizerOptions options, const ModelsFolder& folder) {
  options.download.staging = folder.staging();
  options.unpack.reserve_bytes = options.download.disk_reserve_bytes;
  return options;
}

// Whether files would be refused for this once more, whenever they are looked at.
bool IsLasting(const absl::Status& refusal) {
  return absl::IsInvalidArgument(refusal) || absl::IsFailedPrecondition(refusal) ||
         absl::IsAlreadyExists(refusal) || absl::IsOutOfRange(refusal);
}

absl::Status Prefixed(std::string_view what, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), base::StrCat(what, ": ", std::string(status.message())));
}

}  // namespace

// A model that is to be put in place.
struct Synchronizer::Task {
  const inference::SubnetModel* model = nullptr;
  std::optional<InstalledModel> before;
  std::optional<RetiredModel> restores;
  std::size_t outcome = 0;  // Its index.
  transfer::ProgressBoard progress;
  std::atomic<bool> ended = false;
};

Synchronizer::Synchronizer(ModelsFolder& folder, models::ModelStore& store,
                           SynchronizerOptions options)
    : options_(Completed(std::move(options), folder)),
      folder_(folder),
      store_(store),
      downloader_(options_.download),
      budget_(folder, store,
              {.budget_bytes = options_.disk_budget_bytes,
               .reserve_bytes = options_.download.disk_reserve_bytes,
               .retired_min = options_.retired_min}) {}

// One call of Run.
class Synchronizer::Pass {
 public:
  Pass(Synchronizer& owner, const inference::Subnet& subnet, std::stop_token stop,
       const std::vector<std::string>& only,
       const std::function<void(const ModelOutcome&)>& on_outcome)
      : owner_(owner),
        subnet_(subnet),
        stop_(std::move(stop)),
        only_(only.begin(), only.end()),
        on_outcome_(on_outcome) {}

  std::vector<ModelOutcome> Run() {
    Forget();
    for (const inference::SubnetModel& model : subnet_.models) {
      if (only_.empty() || only_.contains(model.model.value())) Decide(model);
    }
    NameUnknown();
    RemoveUnwanted();
    ClearStaging();
    MakeRoom();
    Work();
    std::move(removals_.begin(), removals_.end(), std::back_inserter(outcomes_));
    if (IsWhole()) owner_.CollectGarbage().IgnoreError();
    return std::move(outcomes_);
  }

 private:
  // Adds the outcome of a model that needs no work.
  void Add(ModelOutcome outcome) {
    if (on_outcome_) on_outcome_(outcome);
    outcomes_.push_back(std::move(outcome));
  }

  void Conclude(const Task& task, Kind kind, absl::Status status = absl::OkStatus()) {
    std::lock_guard lock(mutex_);
    outcomes_[task.outcome] = OutcomeOf(*task.model, kind, std::move(status));
    if (on_outcome_) on_outcome_(outcomes_[task.outcome]);
  }

  // What was learned of contents that the subnet no longer has.
  void Forget() {
    std::set<std::string> wanted;
    for (const inference::SubnetModel& model : subnet_.models) wanted.insert(ContentId(model));
    std::erase_if(owner_.known_, [&](const auto& one) { return !wanted.contains(one.first); });
  }

  void Decide(const inference::SubnetModel& model) {
    Decision decision = sync::Decide(owner_.folder_, owner_.store_, subnet_.subnet_id, model,
                                     owner_.options_.memory_bytes);
    if (decision.outcome) return Add(*std::move(decision.outcome));
    const auto known = owner_.known_.find(ContentId(model));
    if (known != owner_.known_.end() && !known->second.refusal.ok()) {
      return Add(OutcomeOf(model, Kind::kFailed, known->second.refusal));
    }
    auto task = std::make_unique<Task>();
    task->model = &model;
    task->before = std::move(decision.before);
    task->restores = std::move(decision.restores);
    task->outcome = outcomes_.size();
    outcomes_.push_back(OutcomeOf(model, Kind::kFailed, absl::CancelledError("not begun")));
    tasks_.push_back(std::move(task));
  }

  void NameUnknown() {
    for (const std::string& name : only_) {
      const bool known =
          std::any_of(subnet_.models.begin(), subnet_.models.end(),
                      [&](const auto& model) { return model.model.value() == name; });
      if (known) continue;
      Add({.kind = Kind::kFailed,
           .model = name,
           .status = absl::NotFoundError(
               base::StrCat("subnet ", subnet_.subnet_id, " has no such model"))});
    }
  }

  // What no task needs is not kept; unless only some models were asked for.
  void ClearStaging() {
    if (!only_.empty()) return;
    std::set<std::string> hashes;
    std::set<std::string> trees;
    for (const auto& task : tasks_) {
      trees.insert(base::StrCat("tree-", ContentId(*task->model)));
      for (const auto& file : task->model->files) hashes.insert(file.sha256);
    }
    std::vector<fs::path> unwanted;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(owner_.folder_.staging(), error)) {
      const std::string name = entry.path().filename();
      if (name.starts_with("tree-") && !trees.contains(name)) unwanted.push_back(entry.path());
    }
    for (const fs::path& path : unwanted) fs::remove_all(path, error);
    transfer::RemovePartialFiles(owner_.folder_.staging(), hashes).IgnoreError();
  }

  // What it takes up when it is in place, as far as that is known.
  std::uint64_t SizeOf(const inference::SubnetModel& model) {
    std::lock_guard lock(mutex_);
    const auto known = owner_.known_.find(ContentId(model));
    const std::uint64_t unpacked = known == owner_.known_.end() ? 0 : known->second.unpacked_bytes;
    return unpacked > 0 ? unpacked : DownloadBytes(model);
  }

  // Old versions go first; what the budget has no room for then is not begun.
  void MakeRoom() {
    std::vector<std::uint64_t> sizes;
    std::set<std::string> wanted;
    for (const auto& task : tasks_) {
      if (task->restores) wanted.insert(task->restores->was.content_id);
      if (!task->restores) sizes.push_back(SizeOf(*task->model));
    }
    const std::uint64_t needed = owner_.budget_.Affordable(sizes).value_or(0);
    if (needed > 0) owner_.budget_.CollectGarbage(needed, false, wanted).IgnoreError();
    const absl::Status opened = owner_.budget_.Open();
    const std::size_t all = std::erase_if(tasks_, [&](const auto& task) {
      if (task->restores) return false;
      const absl::Status room = opened.ok() ? owner_.budget_.Take(SizeOf(*task->model)) : opened;
      if (!room.ok()) Conclude(*task, Kind::kFailed, room);
      return !room.ok();
    });
    if (all > 0) ClearStaging();
  }

  void Work() {
    {
      std::lock_guard lock(owner_.mutex_);
      for (const auto& task : tasks_) owner_.tasks_.push_back(task.get());
    }
    std::atomic<std::size_t> next = 0;
    {
      std::vector<std::jthread> workers;
      const std::size_t count = std::min(owner_.options_.models_at_once, tasks_.size());
      for (std::size_t i = 0; i < count; ++i) {
        workers.emplace_back([&] {
          for (std::size_t n = next++; n < tasks_.size(); n = next++) {
            Attend(*tasks_[n]);
            tasks_[n]->ended = true;
          }
        });
      }
    }
    std::lock_guard lock(owner_.mutex_);
    owner_.tasks_.clear();
  }

  void Attend(Task& task) {
    if (stop_.stop_requested()) {
      return Conclude(task, Kind::kFailed, absl::CancelledError("stopped before it began"));
    }
    absl::Status status;
    if (task.restores) {
      if (PutInPlace(task, true).ok()) return Conclude(task, Kind::kRestored);
      status = owner_.budget_.Take(SizeOf(*task.model));
    }
    if (status.ok()) status = PutInPlace(task, false);
    Conclude(task, status.ok() ? Kind::kInstalled : Kind::kFailed, status);
  }

  absl::Status PutInPlace(Task& task, bool restore) {
    const inference::SubnetModel& model = *task.model;
    ModelTree tree(owner_.folder_.staging(), model);
    if (restore) {
      tree.Clear();
      std::error_code error;
      fs::create_directories(tree.workshop(), error);
      RETURN_IF_ERROR(owner_.folder_.Revive(*task.restores, tree.made()));
    } else {
      const fs::path old =
          task.before ? owner_.folder_.path() / task.before->entry : std::filesystem::path();
      RETURN_IF_ERROR(tree.Prepare(old, owner_.options_.download.disk_reserve_bytes, stop_));
      RETURN_IF_ERROR(Fetch(tree, task));
      RETURN_IF_ERROR(Refusable(model, tree.Assemble(owner_.options_.unpack, stop_)));
      RETURN_IF_ERROR(CountUnpacked(model, tree));
    }
    using Origin = ModelTree::Origin;
    const auto made = tree.Check(restore ? Origin::kRevived : Origin::kFetched);
    if (restore && (!made.ok() || (*made)->tree_sha256 != task.restores->was.tree_sha256)) {
      tree.Clear();
      return made.ok() ? absl::DataLossError("the old version was changed") : made.status();
    }
    RETURN_IF_ERROR(Refusable(model, made.status()));
    RETURN_IF_ERROR(owner_.folder_.Install(tree.made(), {.model = model.model.value(),
                                                         .subnet_id = subnet_.subnet_id,
                                                         .version = model.version,
                                                         .content_id = ContentId(model),
                                                         .entry = EntryName(model),
                                                         .tree_sha256 = (*made)->tree_sha256,
                                                         .size_bytes = (*made)->tree_size_bytes}));
    tree.Teach(owner_.store_, owner_.folder_.path() / EntryName(model));
    tree.Clear();
    return absl::OkStatus();
  }

  // `status` of what was made of the model's files, which are right. They stay until the next pass,
  // for another process.
  absl::Status Refusable(const inference::SubnetModel& model, absl::Status status) {
    if (!IsLasting(status)) return status;
    std::lock_guard lock(mutex_);
    owner_.known_[ContentId(model)].refusal = status;
    return status;
  }

  // The budget is for what archives come to, which shows only now.
  absl::Status CountUnpacked(const inference::SubnetModel& model, const ModelTree& tree) {
    const bool packed = std::any_of(model.files.begin(), model.files.end(),
                                    [](const auto& file) { return file.unpack; });
    const std::uint64_t counted = SizeOf(model);
    const std::uint64_t bytes = packed ? SizeOnDisk(tree.made()) : 0;
    if (bytes <= counted) return absl::OkStatus();
    {
      std::lock_guard lock(mutex_);
      owner_.known_[ContentId(model)].unpacked_bytes = bytes;
    }
    return Prefixed("unpacked", owner_.budget_.Take(bytes - counted));
  }

  absl::Status Fetch(const ModelTree& tree, Task& task) {
    const std::vector<transfer::FileToFetch> files = tree.Files();
    const std::vector<absl::Status> ends = owner_.downloader_.Fetch(files, stop_, &task.progress);
    for (std::size_t i = 0; i < ends.size(); ++i) {
      if (!ends[i].ok()) return Prefixed(task.model->files[i].path, ends[i]);
    }
    return absl::OkStatus();
  }

  // All of the subnet, to its end.
  bool IsWhole() const { return only_.empty() && !stop_.stop_requested(); }

  void RemoveUnwanted() {
    if (!IsWhole()) return;
    std::set<std::string> wanted;
    for (const auto& model : subnet_.models) wanted.insert(model.model.value());
    const auto installed = owner_.folder_.Installed();
    if (!installed.ok()) return;
    for (const InstalledModel& model : *installed) {
      if (model.subnet_id != subnet_.subnet_id || wanted.contains(model.model)) continue;
      const absl::Status status = owner_.folder_.Retire(model.model);
      removals_.push_back({.kind = status.ok() ? Kind::kRemoved : Kind::kFailed,
                           .model = model.model,
                           .version = model.version,
                           .size_bytes = model.size_bytes,
                           .status = status});
      if (on_outcome_) on_outcome_(removals_.back());
    }
  }

  Synchronizer& owner_;
  const inference::Subnet& subnet_;
  const std::stop_token stop_;
  const std::set<std::string> only_;
  const std::function<void(const ModelOutcome&)>& on_outcome_;
  std::vector<std::unique_ptr<Task>> tasks_;
  std::mutex mutex_;  // Of what workers write.
  std::vector<ModelOutcome> outcomes_;
  std::vector<ModelOutcome> removals_;
};

std::vector<ModelOutcome> Synchronizer::Run(
    const inference::Subnet& subnet, std::stop_token stop, const std::vector<std::string>& only,
    const std::function<void(const ModelOutcome&)>& on_outcome) {
  return Pass(*this, subnet, std::move(stop), only, on_outcome).Run();
}

transfer::TransferProgress Synchronizer::Progress() const {
  transfer::TransferProgress all;
  std::vector<transfer::FileProgress> counted;
  double bytes_per_second = 0;
  std::lock_guard lock(mutex_);
  for (const Task* task : tasks_) {
    transfer::TransferProgress one = task->progress.Read();
    if (one.files.empty() && !task->restores && !task->ended) {  // Not begun.
      counted.push_back({.size_bytes = DownloadBytes(*task->model)});
    }
    counted.insert(counted.end(), one.files.begin(), one.files.end());
    bytes_per_second += one.total.bytes_per_second;
    std::move(one.files.begin(), one.files.end(), std::back_inserter(all.files));
  }
  all.total = transfer::TotalOf(counted);
  if (all.total.present_bytes < all.total.size_bytes) {
    all.total.state = transfer::FileState::kDownloading;
  }
  transfer::SetRate(all.total, bytes_per_second);
  return all;
}

}  // namespace ncn::sync
