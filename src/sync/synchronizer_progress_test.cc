// What is told of the downloads of several models.

#include <atomic>
#include <functional>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sync/synchronizer.h"
#include "sync/testing_synchronizer.h"
#include "transfer/testing_server.h"

namespace ncn::sync {
namespace {

using Kind = ModelOutcome::Kind;
using transfer::FileState;
using transfer::TransferProgress;

class SynchronizerProgressTest : public SynchronizerFixture {
 protected:
  static bool WaitFor(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }
  double Rate() const { return synchronizer_->Progress().total.bytes_per_second; }
};

TEST_F(SynchronizerProgressTest, CountsWhatIsBeingFetchedAndNothingElse) {
  // Files of the same content would be fetched one after the other.
  const std::string body = SafetensorsOf(1, 1 << 16), slow_body = SafetensorsOf(2, 1 << 16);
  std::atomic<bool> released = false;
  std::atomic<bool> seen = false;
  transfer::TestServer server([&](const auto& request, auto& connection) {
    if (request.path == "/gone") return (void)connection.Answer("404 Not Found", "", "");
    connection.Send(base::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n"));
    if (request.path == "/slow") {
      WaitFor([&] { return released.load(); });
    } else {
      connection.Send(body.substr(0, 1000));
      seen = WaitFor([&] { return Rate() > 0; });
    }
    const bool slow = request.path == "/slow";
    connection.Send(slow ? std::string_view(slow_body) : std::string_view(body).substr(1000));
  });
  for (const std::string name : {"quick", "slow", "gone"}) {
    inference::SubnetFile file = Publish(name + ".safetensors", name == "slow" ? slow_body : body);
    if (name == "gone") file.sha256 = Sha256Hex("another");
    file.sources = {server.Url("/" + name)};
    Add(name, {file});
  }
  std::vector<ModelOutcome> outcomes;
  std::jthread pass([&] { outcomes = Run(); });
  const auto state = [&](const std::string& file) {
    for (const auto& one : synchronizer_->Progress().files) {
      if (one.name == file) return one.state;
    }
    return FileState::kWaiting;
  };
  EXPECT_TRUE(WaitFor([&] {
    return state("quick/quick.safetensors") == FileState::kDone &&
           state("gone/gone.safetensors") == FileState::kFailed &&
           state("slow/slow.safetensors") == FileState::kDownloading;
  }));
  EXPECT_TRUE(seen);
  EXPECT_TRUE(WaitFor([&] { return Rate() == 0; })) << "the last rate of what is done";
  const TransferProgress progress = synchronizer_->Progress();
  EXPECT_EQ(progress.total.size_bytes, 2 * body.size());
  EXPECT_EQ(progress.total.present_bytes, body.size());
  EXPECT_EQ(progress.total.time_left, std::nullopt);
  released = true;
  pass.join();
  EXPECT_EQ(outcomes[0].kind, Kind::kInstalled) << outcomes[0].status;
  EXPECT_EQ(outcomes[1].kind, Kind::kInstalled) << outcomes[1].status;
  EXPECT_EQ(outcomes[2].kind, Kind::kFailed);
  EXPECT_EQ(synchronizer_->Progress().total.size_bytes, 0u);
}

}  // namespace
}  // namespace ncn::sync
