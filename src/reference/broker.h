#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "reference/finished_tasks.h"
#include "wire/session_messages.h"
#include "wire/task_update.h"

namespace ncn::reference {

// A node's connection as the broker uses it. Called under the broker's lock: only leaves messages
// for later, never calls back.
class NodeLink {
 public:
  virtual ~NodeLink() = default;
  virtual void SendRequest(wire::SharedRequest request) = 0;
  virtual void SendCancel(const std::string& request_id, const std::string& reason) = 0;
  // The node has connected anew; this connection is of no use any more.
  virtual void Replace() = 0;
};

// Somebody who follows a task. Called under the broker's lock, like NodeLink.
class TaskSubscriber {
 public:
  virtual ~TaskSubscriber() = default;
  // The last update is final().
  virtual void OnUpdate(wire::TaskUpdate update) = 0;
};

struct BrokerOptions {
  std::size_t tasks_max = 10000;                     // Without a final answer.
  std::uint64_t task_bytes_max = 4ULL << 30;         // Their inputs.
  FinishedTasks::Limits finished;                    // With one.
  std::chrono::milliseconds queue_timeout{60000};    // For a node to become free.
  std::chrono::milliseconds reconnect_grace{10000};  // For a lost node to come back.
  std::chrono::milliseconds answer_timeout{900000};  // For a node to answer.
  int attempts_max = 3;                              // Nodes that may fail at one task.
};

struct SupportedModel {
  std::string model;
  std::uint32_t nodes = 0;
  std::uint64_t free_credits = 0;
};

// Who executes what: takes tasks from clients, gives each to a node that has granted a credit for
// it, and sees to it that each ends with exactly one final answer, also when nodes come and go.
// Knows nothing of gRPC. Thread-safe.
class Broker {
 public:
  using NodeKey = std::uint64_t;  // Names one connection of a node; never used again.

  Broker(const BrokerOptions& options, const base::Clock& clock);

  // --- For clients.

  // Takes a task. The same id again is the same task, AlreadyExists if its model or input differs.
  // A result that came before anybody asked (the gateway was restarted) counts if its attestation
  // states this request.
  // ResourceExhausted when there are too many. A model that no node has ends the task at once with
  // MODEL_NOT_FOUND.
  absl::StatusOr<wire::TaskState> Submit(wire::SharedRequest request);
  absl::StatusOr<wire::TaskUpdate> Get(const std::string& request_id) const;
  // Sends the present state to `subscriber`, then every change, as long as it exists.
  absl::Status Subscribe(const std::string& request_id, std::weak_ptr<TaskSubscriber> subscriber);
  // Returns the state before.
  absl::StatusOr<wire::TaskState> Cancel(const std::string& request_id);
  // Replaces the request of a task that still waits; FailedPrecondition when it has left.
  absl::Status SetPayment(const std::string& request_id, inference::PaymentProof payment);
  std::vector<SupportedModel> Models() const;
  // Null when the task is not known or has ended.
  wire::SharedRequest Request(const std::string& request_id) const;

  // --- For nodes. `address` has been proven.

  NodeKey Attach(wire::NodeInfo info, std::shared_ptr<NodeLink> link, std::uint64_t credits,
                 const std::vector<std::string>& running,
                 const std::vector<std::string>& unacknowledged);
  void Update(NodeKey node, std::optional<wire::NodeInfo> info, std::uint64_t credits);
  // Takes back a credit that has not been used; false when it has been.
  bool WithdrawCredit(NodeKey node);
  // The connection is lost; the node may come back.
  void Detach(NodeKey node);
  // The node leaves for good, and leaves these.
  void Leave(NodeKey node, const std::vector<std::string>& unfinished);
  void Progress(NodeKey node, const wire::Progress& progress);
  void Reject(NodeKey node, const wire::Reject& reject);
  // A verified result, or a failure, from the node. Of several, the first counts.
  wire::AckVerdict Complete(NodeKey node, wire::SharedResponse response);
  // The node sent a result that does not verify. It gets no further task.
  void Distrust(NodeKey node, const std::string& request_id, const std::string& why);

  // Ends what has waited too long; to be called a few times a second.
  void Tick();

 private:
  struct Node {
    wire::NodeInfo info;
    std::set<std::string> models;
    std::shared_ptr<NodeLink> link;
    std::uint64_t credits = 0;
    std::uint64_t sent = 0;
  };
  struct Task {
    wire::SharedRequest request;
    wire::TaskUpdate update;
    std::optional<NodeKey> node;                 // That has it.
    std::optional<base::SteadyTime> lost_since;  // Its node is away.
    base::SteadyTime since;                      // Waiting for a node, or for the node's answer.
    std::set<std::string> failed_at;             // Addresses of nodes that could not do it.
    int attempts = 0;
    std::size_t input_hash = 0;
    bool cancelled = false;
    std::vector<std::weak_ptr<TaskSubscriber>> subscribers;
  };
  using Tasks = std::map<std::string, Task>;

  // All below are called under the lock.
  bool Knows(const std::string& request_id) const;
  void Enqueue(Task& task, bool first);
  void Unqueue(const Task& task);
  void DispatchWaiting(const std::string& model);
  bool CanTake(const Node& node, const Task& task) const;
  std::map<NodeKey, Node>::iterator Choose(const Task& task);
  bool HasCandidate(const Task& task) const;
  void Dispatch(Task& task, NodeKey key, Node& node);
  // Gives a task that its node will not finish to another, or ends it with `failure`.
  void Retry(Tasks::iterator task, inference::Failure failure, bool may_retry);
  void Finish(Tasks::iterator task, wire::SharedResponse response);
  void Fail(Tasks::iterator task, inference::Failure failure);
  void GiveUpWaiting(Tasks::iterator task);
  void Publish(Task& task);
  void DispatchTo(const Node& node);
  bool ModelIsKnown(const std::string& model) const;
  // The largest input that a connected node takes for the model.
  std::uint64_t LargestInput(const std::string& model) const;
  inference::Failure ModelNotFound(const std::string& model) const;
  // The task, if this node has it.
  Tasks::iterator TaskOf(NodeKey node, const std::string& request_id);

  const BrokerOptions options_;
  const base::Clock& clock_;

  mutable std::mutex mutex_;
  Tasks tasks_;  // Without a final answer.
  std::uint64_t task_bytes_ = 0;
  std::map<std::string, std::list<std::string>> waiting_;  // Ids by model, first come first.
  FinishedTasks finished_;
  FinishedTasks unclaimed_;  // Verified results for tasks that nobody has submitted (yet).
  std::map<NodeKey, Node> nodes_;
  std::map<std::string, std::pair<base::SteadyTime, std::set<std::string>>> away_;  // By address.
  std::set<std::string> distrusted_;                                                // Addresses.
  NodeKey next_key_ = 1;
};

}  // namespace ncn::reference
