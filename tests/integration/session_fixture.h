#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/synchronized.h"
#include "execution/execution.h"
#include "gtest/gtest.h"
#include "node/session.h"
#include "reference/client.h"
#include "reference/gateway.h"
#include "signing/result_signer.h"
#include "signing/session_proof.h"
#include "signing/wallet.h"

namespace ncn {

// Something that tests wait for, with a limit that only a failing test reaches.
class Signal {
 public:
  void Set() {
    {
      std::lock_guard lock(mutex_);
      ++count_;
    }
    changed_.notify_all();
  }
  // Whether it was set at least `times` times.
  bool Wait(int times = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return count_ >= times; });
  }
  bool WaitOrStop(std::stop_token stop) {
    std::unique_lock lock(mutex_);
    return changed_.wait(lock, stop, [&] { return count_ > 0; });
  }
  int count() const {
    std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  int count_ = 0;
};

inline signing::Wallet MakeWallet() {
  auto wallet = signing::Wallet::Generate();
  NCN_CHECK(wallet.ok());
  return *std::move(wallet);
}

// Answers every request with its input reversed, signed; can be held up and made to fail.
class FakeExecution final : public execution::Execution {
 public:
  explicit FakeExecution(const signing::Wallet& signer) : signer_(signer, base::Clock::System()) {}

  inference::InferenceResponse Execute(const inference::InferenceRequest& request,
                                       const execution::ExecutionContext& context) override {
    {
      std::lock_guard lock(mutex_);
      ++executions_[request.id.value()];
    }
    started.Set();
    if (context.on_progress) {
      for (const inference::Progress& word : tells) context.on_progress(word);
    }
    if (held_ && !release.WaitOrStop(context.stop)) {
      stopped.Set();
      return execution::FailedResponse(
          request, {.kind = inference::FailureKind::kCancelled, .message = "stopped"});
    }
    if (fail_with) return execution::FailedResponse(request, *fail_with);
    inference::InferenceResult result;
    result.output = {std::string(request.input.bytes.rbegin(), request.input.bytes.rend()),
                     request.input.content_type};
    result.record.executor = "fake";
    result.record.sandbox_mode = "disabled";
    result.record.isolation = "cold";
    inference::InferenceResponse response{
        .request_id = request.id, .model = request.model, .outcome = std::move(result)};
    NCN_CHECK(signer_.Sign(request, response).ok());
    if (tamper) tamper(response);
    return response;
  }

  // Executions wait for `release` from now on.
  void Hold() { held_ = true; }
  int executions(const std::string& request_id) const {
    std::lock_guard lock(mutex_);
    const auto found = executions_.find(request_id);
    return found == executions_.end() ? 0 : found->second;
  }

  Signal started;  // Set once for each execution.
  Signal release;
  Signal stopped;
  std::optional<inference::Failure> fail_with;
  std::function<void(inference::InferenceResponse&)> tamper;
  std::vector<inference::Progress> tells;  // Before each answer.

 private:
  signing::ResultSigner signer_;
  std::atomic<bool> held_ = false;
  mutable std::mutex mutex_;
  std::map<std::string, int> executions_;
};

// A node with a wallet and a fake execution.
struct TestNode {
  explicit TestNode(const std::string& gateway_address, std::uint32_t slots = 2,
                    std::uint32_t queue_capacity = 4)
      : wallet(MakeWallet()), execution(wallet) {
    options.gateway_address = gateway_address;
    options.slots = slots;
    options.queue_capacity = queue_capacity;
    options.backoff = {.initial = std::chrono::milliseconds(20),
                       .max = std::chrono::milliseconds(200)};
    options.heartbeat_interval = std::chrono::milliseconds(200);
    sign = [this](std::string_view nonce, std::string_view gateway, std::uint32_t version) {
      return signing::SignChallenge(wallet, nonce, gateway, version);
    };
    callbacks.on_connected = [this] { connected.Set(); };
    callbacks.on_disconnected = [this](const absl::Status&) { disconnected.Set(); };
  }

  // Makes a session as a process that has just started would.
  absl::Status Start() {
    session = std::make_unique<node::NodeSession>(
        options, execution, *outbox,
        [this] {
          return wire::NodeInfo{
              .address = wallet.address().ToString(),
              .version = "test",
              .supported_models = models.With([](const auto& names) { return names; }),
              .sandbox_mode = "disabled"};
        },
        sign, callbacks);
    return session->Start();
  }
  // As after a crash: nothing in memory is left.
  void Crash() {
    session.reset();
    outbox = std::make_unique<node::MemoryOutbox>(node::MemoryOutbox::Limits{});
  }

  signing::Wallet wallet;
  FakeExecution execution;
  node::SessionOptions options;
  node::SignChallenge sign;
  node::SessionCallbacks callbacks;
  // The session's threads ask for them.
  base::Synchronized<std::vector<std::string>> models{{"digits"}};
  std::unique_ptr<node::Outbox> outbox =
      std::make_unique<node::MemoryOutbox>(node::MemoryOutbox::Limits{});
  Signal connected;
  Signal disconnected;
  std::unique_ptr<node::NodeSession> session;  // Last: goes first.
};

inline inference::InferenceRequest MakeRequest(const std::string& id, std::string input = "12345",
                                               const std::string& model = "digits") {
  return {.id = *inference::RequestId::Parse(id),
          .model = *inference::ModelId::Parse(model),
          .input = {std::move(input), inference::kOctetStream}};
}

class SessionTest : public testing::Test {
 protected:
  static reference::GatewayOptions DefaultGateway() {
    reference::GatewayOptions options;
    options.listen_address = "127.0.0.1:0";
    options.heartbeat_interval = std::chrono::milliseconds(200);
    options.broker.reconnect_grace = std::chrono::seconds(30);
    return options;
  }

  void StartGateway(reference::GatewayOptions options = DefaultGateway()) {
    auto started = reference::ReferenceGateway::Start(options);
    ASSERT_TRUE(started.ok()) << started.status();
    gateway = *std::move(started);
  }

  std::unique_ptr<reference::GatewayClient> Client(reference::GatewayClient::Options options = {}) {
    auto client = reference::GatewayClient::Make(gateway->address(), options);
    NCN_CHECK(client.ok());
    return *std::move(client);
  }

  std::unique_ptr<reference::ReferenceGateway> gateway;
};

}  // namespace ncn
