// A node's session and the reference gateway against each other, over loopback.
#include <atomic>
#include <future>
#include <thread>

#include "session_fixture.h"

namespace ncn {
namespace {

using inference::FailureKind;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::string Reversed(const std::string& text) { return {text.rbegin(), text.rend()}; }

TEST_F(SessionTest, AnswersARequestWithAVerifiedResult) {
  StartGateway();
  TestNode node(gateway->address());
  ASSERT_TRUE(node.Start().ok());
  const auto answer = Client()->Infer(MakeRequest("r1"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_TRUE(answer->response->ok());
  EXPECT_EQ(answer->response->result().output.bytes, "54321");
  EXPECT_EQ(answer->signer, node.wallet.address().ToString());
}

TEST_F(SessionTest, TellsTheClientHowFarAnExecutorIs) {
  StartGateway();
  TestNode node(gateway->address());
  node.execution.tells = {
      {.done_permille = 250, .note = "a quarter", .partial = {"so f", "text/plain"}},
      {.done_permille = 500, .note = "half"}};
  node.execution.Hold();
  ASSERT_TRUE(node.Start().ok());
  bool partial_with_answer = false;
  const auto answer = Client()->Infer(MakeRequest("r1"), {}, [&](const wire::TaskUpdate& update) {
    partial_with_answer = update.final() && !update.partial.bytes.empty();
    // What is told in between may be overtaken, never what there is of the output so far.
    if (update.final() || update.done_permille != 500) return;
    EXPECT_EQ(update.note, "half");
    EXPECT_EQ(update.partial.bytes, "so f");
    EXPECT_EQ(update.partial.content_type, "text/plain");
    node.execution.release.Set();
  });
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->response->ok());
  EXPECT_FALSE(partial_with_answer);
}

TEST_F(SessionTest, FirstConnectionThatFailsSaysSoInTheSpecifiedWords) {
  StartGateway();
  const std::string address = gateway->address();
  gateway.reset();
  TestNode node(address);
  const absl::Status status = node.Start();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "Failed to connect to Gateway at " + address);
  EXPECT_FALSE(node.session->state().connected);
  EXPECT_FALSE(node.session->state().last_error.empty());
}

TEST_F(SessionTest, TellsOfConnectionRegistrationAndReadinessInThisOrder) {
  StartGateway();
  std::vector<std::string> events;
  TestNode node(gateway->address());
  node.callbacks.on_connected = [&] { events.push_back("connected"); };
  node.callbacks.on_registered = [&](const std::vector<std::string>& models) {
    events.push_back("registered " + models.at(0));
  };
  node.callbacks.on_ready = [&] { events.push_back("ready"); };
  ASSERT_TRUE(node.Start().ok());
  EXPECT_EQ(events, (std::vector<std::string>{"connected", "registered digits", "ready"}));
}

TEST_F(SessionTest, GivesExactlyOneAnswerToEachOfManyRequests) {
  StartGateway();
  TestNode first(gateway->address(), 3, 5);
  TestNode second(gateway->address(), 2, 0);
  ASSERT_TRUE(first.Start().ok());
  ASSERT_TRUE(second.Start().ok());
  constexpr int kClients = 8;
  constexpr int kRequestsEach = 25;
  std::atomic<int> right = 0;
  {
    std::vector<std::jthread> clients;
    for (int c = 0; c < kClients; ++c) {
      clients.emplace_back([&, c] {
        const auto client = Client();
        for (int r = 0; r < kRequestsEach; ++r) {
          const std::string id = "r" + std::to_string(c) + "." + std::to_string(r);
          const auto answer = client->Infer(MakeRequest(id, id));
          if (answer.ok() && answer->response->ok() &&
              answer->response->result().output.bytes == Reversed(id)) {
            ++right;
          }
        }
      });
    }
  }
  EXPECT_EQ(right, kClients * kRequestsEach);
  for (int c = 0; c < kClients; ++c) {
    for (int r = 0; r < kRequestsEach; ++r) {
      const std::string id = "r" + std::to_string(c) + "." + std::to_string(r);
      EXPECT_EQ(first.execution.executions(id) + second.execution.executions(id), 1) << id;
    }
  }
}

TEST_F(SessionTest, CarriesAPayloadOf64MiBBothWays) {
  StartGateway();
  TestNode node(gateway->address());
  ASSERT_TRUE(node.Start().ok());
  std::string input(64 << 20, 'a');
  input.front() = 'b';
  const auto answer = Client()->Infer(MakeRequest("big", input));
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_TRUE(answer->response->ok());
  EXPECT_EQ(answer->response->result().output.bytes, Reversed(input));
}

TEST_F(SessionTest, NamesTheSupportedModelsWhenAModelIsUnknown) {
  StartGateway();
  TestNode node(gateway->address());
  node.models.With([](auto& names) { names = {"bark_coarse", "digits"}; });
  ASSERT_TRUE(node.Start().ok());
  const auto answer = Client()->Infer(MakeRequest("r1", "x", "bark_fine"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_FALSE(answer->response->ok());
  EXPECT_EQ(answer->response->failure().kind, FailureKind::kModelNotFound);
  EXPECT_EQ(answer->response->failure().cure, "Supported models: bark_coarse, digits");
}

TEST_F(SessionTest, ListsModelsWithTheirNodes) {
  StartGateway();
  TestNode node(gateway->address(), 2, 4);
  ASSERT_TRUE(node.Start().ok());
  const auto client = Client();
  ASSERT_TRUE(client->Infer(MakeRequest("r1")).ok());
  const auto models = client->ListModels();
  ASSERT_TRUE(models.ok());
  ASSERT_EQ(models->size(), 1U);
  EXPECT_EQ(models->at(0).model, "digits");
  EXPECT_EQ(models->at(0).nodes, 1U);
}

TEST_F(SessionTest, PassesAFailureOnWithItsCure) {
  StartGateway();
  TestNode node(gateway->address());
  node.execution.fail_with = {
      .kind = FailureKind::kInvalidInput, .message = "wrong shape", .cure = "send 28 by 28"};
  ASSERT_TRUE(node.Start().ok());
  const auto answer = Client()->Infer(MakeRequest("r1"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_FALSE(answer->response->ok());
  EXPECT_EQ(answer->response->failure().kind, FailureKind::kInvalidInput);
  EXPECT_EQ(answer->response->failure().message, "wrong shape");
  EXPECT_EQ(answer->response->failure().cure, "send 28 by 28");
}

TEST_F(SessionTest, AnotherNodeTriesWhatOneCouldNotDo) {
  StartGateway();
  TestNode broken(gateway->address(), 8, 8);  // More credits: it is asked first.
  TestNode sound(gateway->address(), 1, 0);
  broken.execution.fail_with = {.kind = FailureKind::kExecutorCrashed, .message = "crashed"};
  ASSERT_TRUE(broken.Start().ok());
  ASSERT_TRUE(sound.Start().ok());
  const auto answer = Client()->Infer(MakeRequest("r1"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->response->ok());
  EXPECT_EQ(answer->signer, sound.wallet.address().ToString());
}

TEST_F(SessionTest, CancelReachesTheExecution) {
  StartGateway();
  TestNode node(gateway->address());
  node.execution.Hold();
  ASSERT_TRUE(node.Start().ok());
  std::stop_source stop;
  auto answer = std::async(std::launch::async,
                           [&] { return Client()->Infer(MakeRequest("r1"), stop.get_token()); });
  ASSERT_TRUE(node.execution.started.Wait());
  stop.request_stop();
  EXPECT_TRUE(node.execution.stopped.Wait());
  const auto result = answer.get();
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_FALSE(result->response->ok());
  EXPECT_EQ(result->response->failure().kind, FailureKind::kCancelled);
}

TEST_F(SessionTest, CancelOfAWaitingRequestFreesItsPlace) {
  StartGateway();
  TestNode node(gateway->address(), 1, 4);
  node.execution.Hold();
  ASSERT_TRUE(node.Start().ok());
  auto running = std::async(std::launch::async, [&] { return Client()->Infer(MakeRequest("r1")); });
  ASSERT_TRUE(node.execution.started.Wait());
  std::stop_source stop;
  Signal dispatched;
  auto waiting = std::async(std::launch::async, [&] {
    return Client()->Infer(MakeRequest("r2"), stop.get_token(), [&](const wire::TaskUpdate& u) {
      if (u.state == wire::TaskState::kDispatched) dispatched.Set();
    });
  });
  ASSERT_TRUE(dispatched.Wait());
  stop.request_stop();
  const auto cancelled = waiting.get();
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->response->failure().kind, FailureKind::kCancelled);
  EXPECT_EQ(node.execution.executions("r2"), 0);
  node.execution.release.Set();
  EXPECT_TRUE(running.get()->response->ok());
}

TEST_F(SessionTest, TheSameRequestTwiceIsExecutedOnce) {
  StartGateway();
  TestNode node(gateway->address());
  node.execution.Hold();
  ASSERT_TRUE(node.Start().ok());
  auto first = std::async(std::launch::async, [&] { return Client()->Infer(MakeRequest("r1")); });
  auto second = std::async(std::launch::async, [&] { return Client()->Infer(MakeRequest("r1")); });
  ASSERT_TRUE(node.execution.started.Wait());
  node.execution.release.Set();
  EXPECT_TRUE(first.get()->response->ok());
  EXPECT_TRUE(second.get()->response->ok());
  EXPECT_TRUE(Client()->Infer(MakeRequest("r1"))->response->ok());
  EXPECT_EQ(node.execution.executions("r1"), 1);
  // The same name for another question is refused.
  EXPECT_EQ(Client()->Infer(MakeRequest("r1", "other")).status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(SessionTest, NodeReconnectsAndDeliversWhatEndedWhileTheGatewayWasAway) {
  StartGateway();
  TestNode node(gateway->address());
  node.execution.Hold();
  ASSERT_TRUE(node.Start().ok());
  const auto client = Client();
  auto answer = std::async(std::launch::async, [&] { return client->Infer(MakeRequest("r1")); });
  ASSERT_TRUE(node.execution.started.Wait());
  reference::GatewayOptions options = DefaultGateway();
  options.listen_address = "127.0.0.1:" + std::to_string(gateway->port());
  gateway.reset();
  ASSERT_TRUE(node.disconnected.Wait());
  node.execution.release.Set();  // Ends while nobody is there to hear it.
  StartGateway(options);
  ASSERT_TRUE(node.connected.Wait(2));
  const auto result = answer.get();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->response->ok());
  EXPECT_EQ(node.execution.executions("r1"), 1);
  EXPECT_GE(node.session->state().reconnects, 1U);
  EXPECT_TRUE(node.session->state().connected);
}

TEST_F(SessionTest, RequestOfANodeThatCrashedGoesToAnother) {
  StartGateway();
  TestNode crashing(gateway->address(), 4, 4);
  crashing.execution.Hold();
  ASSERT_TRUE(crashing.Start().ok());
  auto answer = std::async(std::launch::async, [&] { return Client()->Infer(MakeRequest("r1")); });
  ASSERT_TRUE(crashing.execution.started.Wait());
  TestNode other(gateway->address());
  ASSERT_TRUE(other.Start().ok());
  crashing.Crash();
  ASSERT_TRUE(crashing.execution.stopped.Wait());
  // It comes back and says that it knows nothing of the request.
  ASSERT_TRUE(crashing.Start().ok());
  crashing.execution.release.Set();
  const auto result = answer.get();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->response->ok());
}

TEST_F(SessionTest, RequestOfANodeThatStaysAwayEndsInATypedFailure) {
  reference::GatewayOptions options = DefaultGateway();
  options.broker.reconnect_grace = milliseconds(1);
  StartGateway(options);
  TestNode node(gateway->address());
  node.execution.Hold();
  ASSERT_TRUE(node.Start().ok());
  auto answer = std::async(std::launch::async, [&] { return Client()->Infer(MakeRequest("r1")); });
  ASSERT_TRUE(node.execution.started.Wait());
  node.Crash();
  const auto result = answer.get();
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_FALSE(result->response->ok());
  EXPECT_EQ(result->response->failure().kind, FailureKind::kInternal);
  EXPECT_NE(result->response->failure().message.find("not come back"), std::string::npos);
}

TEST_F(SessionTest, GatewayNeverSendsMoreThanItWasGranted) {
  std::mutex mutex;
  std::uint64_t credits = 0;
  reference::GatewayOptions options = DefaultGateway();
  bool rejected = false;
  options.observer = [&](const std::string&, const wire::NodeMessage& message) {
    std::lock_guard lock(mutex);
    EXPECT_GE(message.credits, credits) << "credits fell within a session";
    credits = message.credits;
    rejected |= std::holds_alternative<wire::Reject>(message.body);
  };
  StartGateway(options);
  TestNode node(gateway->address(), 2, 1);
  ASSERT_TRUE(node.Start().ok());
  {
    std::vector<std::jthread> clients;
    for (int c = 0; c < 12; ++c) {
      clients.emplace_back([&, c] {
        const auto client = Client();
        for (int r = 0; r < 10; ++r) {
          const std::string id = "r" + std::to_string(c) + "." + std::to_string(r);
          const auto answer = client->Infer(MakeRequest(id));
          EXPECT_TRUE(answer.ok() && answer->response->ok());
        }
      });
    }
  }
  std::lock_guard lock(mutex);
  EXPECT_FALSE(rejected) << "the node counts what arrives and rejects what it did not grant";
}

TEST_F(SessionTest, RefusesANodeWhoseProofIsOfAnotherWallet) {
  StartGateway();
  const signing::Wallet other = MakeWallet();
  TestNode node(gateway->address());
  node.sign = [&](std::string_view nonce, std::string_view gateway_name, std::uint32_t version) {
    return signing::SignChallenge(other, nonce, gateway_name, version);
  };
  const absl::Status status = node.Start();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_NE(status.message().find("proof was not made by the wallet"), absl::string_view::npos)
      << status;
}

TEST_F(SessionTest, RefusesAProofThatWasMadeForAnotherGateway) {
  StartGateway();
  TestNode node(gateway->address());
  node.sign = [&](std::string_view nonce, std::string_view, std::uint32_t version) {
    return signing::SignChallenge(node.wallet, nonce, "elsewhere.example:443", version);
  };
  EXPECT_EQ(node.Start().code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(SessionTest, BelievesNoResultWhoseOutputWasChanged) {
  StartGateway();
  TestNode node(gateway->address(), 8, 8);
  node.execution.tamper = [](inference::InferenceResponse& response) {
    std::get<inference::InferenceResult>(response.outcome).output.bytes += "!";
  };
  ASSERT_TRUE(node.Start().ok());
  const auto answer = Client()->Infer(MakeRequest("r1"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_FALSE(answer->response->ok());
  EXPECT_NE(answer->response->failure().message.find("does not verify"), std::string::npos);
}

TEST_F(SessionTest, BelievesNoResultThatAnotherWalletSigned) {
  StartGateway();
  const signing::Wallet other = MakeWallet();
  const signing::ResultSigner signer(other, base::Clock::System());
  const inference::InferenceRequest request = MakeRequest("r1");
  TestNode node(gateway->address());
  node.execution.tamper = [&](inference::InferenceResponse& response) {
    ASSERT_TRUE(signer.Sign(request, response).ok());
  };
  ASSERT_TRUE(node.Start().ok());
  const auto answer = Client()->Infer(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_FALSE(answer->response->ok());
  EXPECT_NE(answer->response->failure().message.find("signed by"), std::string::npos);
}

TEST_F(SessionTest, TooLargeAPayloadIsRefusedWithItsSizeAndTheLimit) {
  reference::GatewayOptions options = DefaultGateway();
  options.connection.payload_bytes_max = 1 << 20;
  StartGateway(options);
  const auto answer = Client()->Infer(MakeRequest("r1", std::string(1200 << 10, 'x')));
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kResourceExhausted) << answer.status();
  EXPECT_NE(answer.status().message().find("1048576"), absl::string_view::npos) << answer.status();
  // Far beyond what a message may have: the transport itself refuses it, and goes on serving.
  EXPECT_EQ(Client()->Infer(MakeRequest("r2", std::string(8 << 20, 'x'))).status().code(),
            absl::StatusCode::kResourceExhausted);
  TestNode node(gateway->address());
  ASSERT_TRUE(node.Start().ok());
  EXPECT_TRUE(Client()->Infer(MakeRequest("r3"))->response->ok());
}

TEST_F(SessionTest, ARequestLargerThanTheNodeTakesEndsInATypedFailure) {
  StartGateway();
  TestNode node(gateway->address());
  node.options.connection.payload_bytes_max = 1000;
  ASSERT_TRUE(node.Start().ok());
  const auto client = Client();
  ASSERT_TRUE(client->Infer(MakeRequest("small")).ok());
  const auto answer = client->Infer(MakeRequest("large", std::string(2000, 'x')));
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_FALSE(answer->response->ok());
  EXPECT_EQ(answer->response->failure().kind, FailureKind::kInputTooLarge);
}

TEST_F(SessionTest, PortThatIsTakenIsNamedInTheError) {
  StartGateway();
  reference::GatewayOptions options = DefaultGateway();
  options.listen_address = "127.0.0.1:" + std::to_string(gateway->port());
  const auto second = reference::ReferenceGateway::Start(options);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(second.status().message().find(options.listen_address), absl::string_view::npos);
}

TEST_F(SessionTest, DrainFinishesWhatRunsAndLeaves) {
  StartGateway();
  TestNode node(gateway->address());
  node.execution.Hold();
  ASSERT_TRUE(node.Start().ok());
  auto answer = std::async(std::launch::async, [&] { return Client()->Infer(MakeRequest("r1")); });
  ASSERT_TRUE(node.execution.started.Wait());
  auto drained = std::async(std::launch::async, [&] { return node.session->Drain(seconds(60)); });
  node.execution.release.Set();
  EXPECT_TRUE(drained.get());
  EXPECT_TRUE(answer.get()->response->ok());
  EXPECT_FALSE(node.session->state().connected);
  EXPECT_EQ(node.outbox->usage().count, 0U);
}

TEST_F(SessionTest, DrainHandsBackWhatHasNotBegunToAnotherNode) {
  StartGateway();
  TestNode leaving(gateway->address(), 1, 4);
  leaving.execution.Hold();
  ASSERT_TRUE(leaving.Start().ok());
  auto running = std::async(std::launch::async, [&] { return Client()->Infer(MakeRequest("r1")); });
  ASSERT_TRUE(leaving.execution.started.Wait());
  Signal dispatched;
  auto waiting = std::async(std::launch::async, [&] {
    return Client()->Infer(MakeRequest("r2"), {}, [&](const wire::TaskUpdate& u) {
      if (u.state == wire::TaskState::kDispatched) dispatched.Set();
    });
  });
  ASSERT_TRUE(dispatched.Wait());
  TestNode other(gateway->address());
  ASSERT_TRUE(other.Start().ok());
  auto drained =
      std::async(std::launch::async, [&] { return leaving.session->Drain(seconds(60)); });
  const auto handed_back = waiting.get();
  ASSERT_TRUE(handed_back.ok() && handed_back->response->ok());
  EXPECT_EQ(handed_back->signer, other.wallet.address().ToString());
  leaving.execution.release.Set();
  EXPECT_TRUE(drained.get());
  EXPECT_TRUE(running.get()->response->ok());
}

TEST_F(SessionTest, DrainOutOfTimeHandsBackWhatRuns) {
  StartGateway();
  TestNode leaving(gateway->address(), 4, 4);
  leaving.execution.Hold();
  ASSERT_TRUE(leaving.Start().ok());
  auto answer = std::async(std::launch::async, [&] { return Client()->Infer(MakeRequest("r1")); });
  ASSERT_TRUE(leaving.execution.started.Wait());
  TestNode other(gateway->address());
  ASSERT_TRUE(other.Start().ok());
  EXPECT_FALSE(leaving.session->Drain(milliseconds(1)));
  const auto result = answer.get();
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_TRUE(result->response->ok()) << result->response->failure().message;
  EXPECT_EQ(result->signer, other.wallet.address().ToString());
}

TEST_F(SessionTest, NodeThatIsLoadingGetsNothingUntilItIsReady) {
  StartGateway();
  Signal ready;
  TestNode node(gateway->address());
  node.callbacks.on_ready = [&] { ready.Set(); };
  node.callbacks.on_registered = [&](const std::vector<std::string>&) {};
  node.callbacks.on_connected = [&] { node.session->SetReady(false); };
  ASSERT_TRUE(node.Start().ok());
  EXPECT_EQ(ready.count(), 0);
  EXPECT_EQ(node.session->Describe().state, wire::NodeState::kLoading);
  node.session->SetReady(true);
  EXPECT_EQ(ready.count(), 1);
  EXPECT_TRUE(Client()->Infer(MakeRequest("r1"))->response->ok());
}

TEST_F(SessionTest, NewModelsAreAnnouncedToTheGateway) {
  StartGateway();
  TestNode node(gateway->address());
  ASSERT_TRUE(node.Start().ok());
  const auto client = Client();
  ASSERT_TRUE(client->Infer(MakeRequest("r1")).ok());
  EXPECT_FALSE(client->Infer(MakeRequest("r2", "x", "later"))->response->ok());
  node.models.With([](auto& names) { names.push_back("later"); });
  node.session->NotifyChanged();
  int attempt = 0;
  while (!client->Infer(MakeRequest("a" + std::to_string(attempt), "x", "later"))->response->ok()) {
    ASSERT_LT(++attempt, 100000);
  }
}

// A gateway that answers UNIMPLEMENTED to Session.
class PollingTest : public SessionTest {
 protected:
  void SetUp() override {
    reference::GatewayOptions options = DefaultGateway();
    options.offer_session = false;
    StartGateway(options);
  }
};

TEST_F(PollingTest, NodeFallsBackToSingleCalls) {
  TestNode node(gateway->address(), 2, 4);
  ASSERT_TRUE(node.Start().ok());
  const auto client = Client();
  for (int r = 0; r < 10; ++r) {
    const auto answer = client->Infer(MakeRequest("r" + std::to_string(r)));
    ASSERT_TRUE(answer.ok()) << answer.status();
    ASSERT_TRUE(answer->response->ok());
    EXPECT_EQ(answer->signer, node.wallet.address().ToString());
  }
  EXPECT_TRUE(node.session->Drain(seconds(60)));
}

TEST_F(PollingTest, CancelArrivesWithTheHeartbeat) {
  TestNode node(gateway->address());
  node.execution.Hold();
  ASSERT_TRUE(node.Start().ok());
  std::stop_source stop;
  auto answer = std::async(std::launch::async,
                           [&] { return Client()->Infer(MakeRequest("r1"), stop.get_token()); });
  ASSERT_TRUE(node.execution.started.Wait());
  stop.request_stop();
  EXPECT_TRUE(node.execution.stopped.Wait());
  EXPECT_EQ(answer.get()->response->failure().kind, FailureKind::kCancelled);
}

TEST_F(PollingTest, RefusesANodeWhoseProofIsOfAnotherWallet) {
  const signing::Wallet other = MakeWallet();
  TestNode node(gateway->address());
  node.sign = [&](std::string_view nonce, std::string_view gateway_name, std::uint32_t version) {
    return signing::SignChallenge(other, nonce, gateway_name, version);
  };
  EXPECT_EQ(node.Start().code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(PollingTest, WorkThatIsHandedBackGoesToAnotherNode) {
  TestNode leaving(gateway->address(), 1, 4);
  leaving.execution.Hold();
  ASSERT_TRUE(leaving.Start().ok());
  auto answer = std::async(std::launch::async, [&] { return Client()->Infer(MakeRequest("r1")); });
  ASSERT_TRUE(leaving.execution.started.Wait());
  TestNode other(gateway->address());
  ASSERT_TRUE(other.Start().ok());
  EXPECT_FALSE(leaving.session->Drain(milliseconds(1)));
  const auto result = answer.get();
  ASSERT_TRUE(result.ok() && result->response->ok());
  EXPECT_EQ(result->signer, other.wallet.address().ToString());
}

}  // namespace
}  // namespace ncn
