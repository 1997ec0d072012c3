#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <vector>

#include "apps/ncn/command.h"
#include "apps/ncn/request_options.h"
#include "base/strings.h"

namespace ncn::apps {
namespace {

using std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

struct BenchOptions {
  RequestOptions request;
  std::uint32_t requests = 100;
  std::uint32_t in_flight = 1;
  double pause_ms = 0;
  bool json = false;
};

// What many requests came to. The first failure ends the run.
struct Tally {
  std::mutex mutex;
  std::uint32_t left = 0;
  std::vector<double> whole_way_ms;
  std::vector<double> on_node_ms;  // As the node's signed result says.
  std::optional<std::string> failure;

  bool Take() {
    const std::lock_guard lock(mutex);
    if (failure || left == 0) return false;
    --left;
    return true;
  }
};

absl::Status AskOnce(reference::GatewayClient& client, const BenchOptions& options, Tally& tally) {
  const auto request = MakeRequest(options.request);
  if (!request.ok()) return request.status();
  const auto start = steady_clock::now();
  const auto answer = client.Infer(*request);
  const double took = Milliseconds(steady_clock::now() - start).count();
  if (!answer.ok()) return answer.status();
  const inference::InferenceResponse& response = *answer->response;
  if (!response.ok()) return absl::InternalError(response.failure().message);
  const auto& record = response.result().record;
  const double on_node = Milliseconds(record.usage.wall).count();
  const std::lock_guard lock(tally.mutex);
  tally.whole_way_ms.push_back(took);
  tally.on_node_ms.push_back(on_node);
  return absl::OkStatus();
}

double Quantile(std::vector<double>& values, double share) {
  const auto at = static_cast<std::size_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}

int Bench(const BenchOptions& options) {
  const auto client = MakeClient(options.request);
  if (!client.ok()) return Fail(client.status());
  Tally tally;
  tally.left = options.requests;
  const auto start = steady_clock::now();
  {
    std::vector<std::jthread> threads;
    for (std::uint32_t i = 0; i < options.in_flight; ++i) {
      threads.emplace_back([&] {
        while (tally.Take()) {
          if (const absl::Status asked = AskOnce(**client, options, tally); !asked.ok()) {
            const std::lock_guard lock(tally.mutex);
            if (!tally.failure) tally.failure = std::string(asked.message());
          }
          std::this_thread::sleep_for(Milliseconds(options.pause_ms));
        }
      });
    }
  }
  const double seconds = std::chrono::duration<double>(steady_clock::now() - start).count();
  if (tally.failure) return Fail(*tally.failure);
  auto& whole = tally.whole_way_ms;
  const double p50 = Quantile(whole, 0.5), p95 = Quantile(whole, 0.95), p99 = Quantile(whole, 0.99);
  const double on_node = Quantile(tally.on_node_ms, 0.5);
  const double rate = static_cast<double>(whole.size()) / seconds;
  if (options.json) {
    const nlohmann::json figures = {
        {"requests", whole.size()},  {"p50_ms", p50},         {"p95_ms", p95}, {"p99_ms", p99},
        {"on_node_p50_ms", on_node}, {"requests_per_s", rate}};
    std::printf("%s\n", figures.dump().c_str());
    return 0;
  }
  std::printf(
      "requests  %zu, every result verified\nwhole way %.2f ms median, %.2f ms p95, %.2f ms p99\n"
      "sandbox   %.2f ms median of that\nrate      %.1f requests a second\n",
      whole.size(), p50, p95, p99, on_node, rate);
  return 0;
}

}  // namespace

void AddBenchCommand(CLI::App& app, Chosen& chosen) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand(
      "bench", "Send many requests, verify every result, and tell how long they took");
  options->request.AddTo(*command);
  command->add_option("--requests", options->requests, "How many")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  command->add_option("--in-flight", options->in_flight, "How many at once")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command->add_option("--pause-ms", options->pause_ms, "Between an answer and the next request")
      ->check(CLI::Range(0.0, 60'000.0));
  command->add_flag("--json", options->json, "Print the figures as JSON");
  command->callback([&chosen, options] { chosen.run = [options] { return Bench(*options); }; });
}

}  // namespace ncn::apps
