#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "execution/execution.h"
#include "inference/inference_request.h"
#include "node/outbox.h"

namespace ncn::node {

// The requests that the node has accepted and not yet answered: executes them on `slots` threads,
// keeps at most `queue_capacity` more waiting, and puts each one's answer into the outbox. Outlives
// sessions, so that a lost connection loses no work. Thread-safe.
class Workload {
 public:
  struct Options {
    std::uint32_t slots = 1;
    std::uint32_t queue_capacity = 16;
  };
  // Called on a worker thread, without locks.
  struct Events {
    std::function<void(const inference::RequestId&)> on_started;
    std::function<void(const inference::RequestId&)> on_finished;  // The answer is in the outbox.
    std::function<void(const inference::RequestId&, const inference::Progress&)> on_progress = {};
  };
  enum class Admission {
    kAccepted,
    kRunning,    // The same request is queued or executed already.
    kFinished,   // Its answer is in the outbox.
    kDuplicate,  // The id names a request for another model.
    kFull,
    kClosed,
  };
  struct Load {
    std::uint32_t running = 0;
    std::uint32_t queued = 0;
  };

  // `execution` and `outbox` outlive the workload.
  Workload(const Options& options, execution::Execution& execution, Outbox& outbox, Events events);
  // Stops whatever runs and waits for it; its answers are still put into the outbox.
  ~Workload();

  Admission Submit(std::shared_ptr<const inference::InferenceRequest> request);
  // Answers a waiting request with CANCELLED and tells a running one to stop. False when there is
  // no such request.
  bool Cancel(const inference::RequestId& id);
  // Accepts nothing more.
  void Close();
  // Removes the requests that wait, without an answer, and returns their ids.
  std::vector<std::string> TakeWaiting();
  // The same with those that run: they are told to stop, and their answers are dropped.
  std::vector<std::string> Abandon();

  Load load() const;
  // Ids of all requests that are waiting or running.
  std::vector<std::string> Unanswered() const;
  std::uint32_t capacity() const { return options_.slots + options_.queue_capacity; }
  const Options& options() const { return options_; }

 private:
  struct Task {
    std::shared_ptr<const inference::InferenceRequest> request;
    std::stop_source stop;
    bool running = false;
    bool abandoned = false;
  };

  // Stop requests run foreign code, so they are made on this copy, without the lock.
  std::vector<std::shared_ptr<Task>> Tasks() const;
  void Work(std::stop_token stop);
  std::shared_ptr<Task> NextTask(std::stop_token stop);
  void Execute(Task& task);
  void Answer(const Task& task, inference::InferenceResponse response);

  const Options options_;
  execution::Execution& execution_;
  Outbox& outbox_;
  const Events events_;

  mutable std::mutex mutex_;
  std::condition_variable_any waiting_not_empty_;
  std::map<inference::RequestId, std::shared_ptr<Task>> tasks_;
  std::deque<std::shared_ptr<Task>> waiting_;
  std::uint32_t running_ = 0;
  bool closed_ = false;
  std::vector<std::jthread> workers_;  // Last: joins before the rest goes.
};

}  // namespace ncn::node
