#include "node/workload.h"

#include <algorithm>
#include <utility>

#include "base/logging.h"

namespace ncn::node {
namespace {

inference::InferenceResponse Cancelled(const inference::InferenceRequest& request) {
  return execution::FailedResponse(
      request, {.kind = inference::FailureKind::kCancelled,
                .message = "The request was cancelled before its execution began",
                .cure = "Submit it again if its answer is wanted after all"});
}

}  // namespace

Workload::Workload(const Options& options, execution::Execution& execution, Outbox& outbox,
                   Events events)
    : options_(options), execution_(execution), outbox_(outbox), events_(std::move(events)) {
  workers_.reserve(options_.slots);
  for (std::uint32_t i = 0; i < options_.slots; ++i) {
    workers_.emplace_back([this](std::stop_token stop) { Work(stop); });
  }
}

Workload::~Workload() {
  Close();
  for (const std::shared_ptr<Task>& task : Tasks()) task->stop.request_stop();
  for (std::jthread& worker : workers_) worker.request_stop();
}

Workload::Admission Workload::Submit(std::shared_ptr<const inference::InferenceRequest> request) {
  {
    std::lock_guard lock(mutex_);
    if (const auto found = tasks_.find(request->id); found != tasks_.end()) {
      return found->second->request->model == request->model ? Admission::kRunning
                                                             : Admission::kDuplicate;
    }
    if (const auto answer = outbox_.Find(request->id)) {
      return answer->model == request->model ? Admission::kFinished : Admission::kDuplicate;
    }
    if (closed_) return Admission::kClosed;
    if (tasks_.size() >= capacity()) return Admission::kFull;
    auto task = std::make_shared<Task>(Task{.request = std::move(request)});
    tasks_.emplace(task->request->id, task);
    waiting_.push_back(std::move(task));
  }
  waiting_not_empty_.notify_one();
  return Admission::kAccepted;
}

bool Workload::Cancel(const inference::RequestId& id) {
  std::shared_ptr<Task> task;
  bool waiting = false;
  {
    std::lock_guard lock(mutex_);
    const auto found = tasks_.find(id);
    if (found == tasks_.end()) return false;
    task = found->second;
    waiting = std::erase(waiting_, task) > 0;
  }
  task->stop.request_stop();
  if (waiting) Answer(*task, Cancelled(*task->request));
  return true;
}

void Workload::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
}

std::vector<std::string> Workload::TakeWaiting() {
  std::lock_guard lock(mutex_);
  std::vector<std::string> ids;
  for (const std::shared_ptr<Task>& task : waiting_) {
    ids.push_back(task->request->id.value());
    tasks_.erase(task->request->id);
  }
  waiting_.clear();
  return ids;
}

std::vector<std::string> Workload::Abandon() {
  std::vector<std::string> ids = TakeWaiting();
  const std::vector<std::shared_ptr<Task>> tasks = Tasks();
  {
    std::lock_guard lock(mutex_);
    for (const std::shared_ptr<Task>& task : tasks) task->abandoned = true;
  }
  for (const std::shared_ptr<Task>& task : tasks) {
    task->stop.request_stop();
    ids.push_back(task->request->id.value());
  }
  return ids;
}

Workload::Load Workload::load() const {
  std::lock_guard lock(mutex_);
  return {.running = running_, .queued = static_cast<std::uint32_t>(tasks_.size()) - running_};
}

std::vector<std::string> Workload::Unanswered() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> ids;
  ids.reserve(tasks_.size());
  for (const auto& [id, task] : tasks_) ids.push_back(id.value());
  return ids;
}

std::vector<std::shared_ptr<Workload::Task>> Workload::Tasks() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Task>> tasks;
  tasks.reserve(tasks_.size());
  for (const auto& [id, task] : tasks_) tasks.push_back(task);
  return tasks;
}

void Workload::Work(std::stop_token stop) {
  while (const std::shared_ptr<Task> task = NextTask(stop)) Execute(*task);
}

std::shared_ptr<Workload::Task> Workload::NextTask(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  waiting_not_empty_.wait(lock, stop, [this] { return !waiting_.empty(); });
  if (stop.stop_requested()) return nullptr;
  std::shared_ptr<Task> task = std::move(waiting_.front());
  waiting_.pop_front();
  task->running = true;
  ++running_;
  return task;
}

void Workload::Execute(Task& task) {
  const base::ScopedRequestId scope(task.request->id.value());
  if (events_.on_started) events_.on_started(task.request->id);
  execution::ExecutionContext context{.stop = task.stop.get_token()};
  if (events_.on_progress) {
    context.on_progress = [&](const inference::Progress& progress) {
      events_.on_progress(task.request->id, progress);
    };
  }
  Answer(task, execution_.Execute(*task.request, context));
}

void Workload::Answer(const Task& task, inference::InferenceResponse response) {
  bool abandoned = false;
  {
    std::lock_guard lock(mutex_);
    abandoned = task.abandoned;
  }
  if (!abandoned) {
    const absl::Status kept =
        outbox_.Put(std::make_shared<const inference::InferenceResponse>(std::move(response)));
    if (!kept.ok()) {
      base::Log("node").error("the answer to {} could not be kept and is lost: {}",
                              task.request->id.value(), kept.ToString());
    }
  }
  {
    std::lock_guard lock(mutex_);
    if (task.running) --running_;
    tasks_.erase(task.request->id);
  }
  if (events_.on_finished) events_.on_finished(task.request->id);
}

}  // namespace ncn::node
