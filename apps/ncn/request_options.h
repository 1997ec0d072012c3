#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "inference/inference_request.h"
#include "reference/client.h"

namespace CLI {
class App;
}

namespace ncn::apps {

// What a user says about a request, and to which gateway it goes.
struct RequestOptions {
  std::string gateway_address = "http://127.0.0.1:50051";
  std::string model;
  std::string input;  // A file; "-" is standard input.
  std::string text;   // In place of a file.
  std::string content_type;
  std::string accept;
  double timeout_seconds = 0;
  std::optional<std::uint64_t> seed;
  std::string pay_with;
  std::string amount_wei = "1";
  std::uint32_t message_mb_max = 256;

  // Adds the flags to `command`; the options outlive it.
  void AddTo(CLI::App& command);
};

// A request with a new id. Reads the input anew; errors of files, wallets and of Validate.
absl::StatusOr<inference::InferenceRequest> MakeRequest(const RequestOptions& options);

absl::StatusOr<std::unique_ptr<reference::GatewayClient>> MakeClient(const RequestOptions& options);

}  // namespace ncn::apps
