#include "apps/ncn/request_options.h"

#include <sys/random.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "apps/ncn/presentation.h"
#include "base/files.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "signing/payment.h"

namespace ncn::apps {

using inference::InferenceRequest;

namespace {

std::string NewRequestId() {
  std::string random(12, '\0');
  // The kernel gives so few bytes at once and without fail.
  if (::getrandom(random.data(), random.size(), 0) < 0) std::abort();
  return base::StrCat("ncn-", base::HexEncode(random));
}

// What is too large is for the node to refuse; this bound only keeps our own memory in check.
constexpr std::size_t kInputBytesMax = 2ULL << 30;

absl::StatusOr<inference::Payload> ReadInput(const RequestOptions& options) {
  inference::Payload input{.bytes = options.text, .content_type = options.content_type};
  if (options.input.empty()) {
    if (input.content_type.empty()) input.content_type = "text/plain";
    return input;
  }
  const bool from_stdin = options.input == "-";
  ASSIGN_OR_RETURN(input.bytes, from_stdin ? base::ReadAll(STDIN_FILENO, kInputBytesMax)
                                           : base::ReadFile(options.input, kInputBytesMax));
  if (input.content_type.empty()) input.content_type = MediaTypeOf(options.input);
  return input;
}

}  // namespace

absl::StatusOr<InferenceRequest> MakeRequest(const RequestOptions& options) {
  ASSIGN_OR_RETURN(inference::RequestId id, inference::RequestId::Parse(NewRequestId()));
  ASSIGN_OR_RETURN(inference::ModelId model, inference::ModelId::Parse(options.model));
  ASSIGN_OR_RETURN(inference::Payload input, ReadInput(options));
  InferenceRequest request{
      .id = std::move(id), .model = std::move(model), .input = std::move(input)};
  request.accept = options.accept;
  request.timeout =
      std::chrono::milliseconds(static_cast<std::int64_t>(options.timeout_seconds * 1000));
  request.seed = options.seed;
  if (!options.pay_with.empty()) {
    ASSIGN_OR_RETURN(const signing::Wallet payer, signing::Wallet::Load(options.pay_with));
    ASSIGN_OR_RETURN(request.payment,
                     signing::SignPayment(payer, request.id, request.model, options.amount_wei));
    request.client_address = payer.address().ToString();
  }
  RETURN_IF_ERROR(inference::Validate(
      request, {.input_bytes_max = kInputBytesMax, .timeout_max = std::chrono::hours(24)}));
  return request;
}

absl::StatusOr<std::unique_ptr<reference::GatewayClient>> MakeClient(
    const RequestOptions& options) {
  reference::GatewayClient::Options client_options;
  client_options.connection.payload_bytes_max = std::size_t{options.message_mb_max} << 20;
  return reference::GatewayClient::Make(options.gateway_address, client_options);
}

void RequestOptions::AddTo(CLI::App& command) {
  command.add_option("--gateway-addr", gateway_address, "Gateway, http(s)://HOST:PORT")
      ->envname("GATEWAY_ADDR")
      ->capture_default_str();
  command.add_option("--model", model, "Name of the model")->required();
  CLI::Option_group* group = command.add_option_group("Input");
  group->add_option("--input", input, "File with the input; - reads standard input");
  group->add_option("--text", text, "The input itself, for models that take text");
  group->require_option(1);
  command.add_option("--content-type", content_type,
                     "Media type of the input; by the file's extension when not given, or text");
  command.add_option("--accept", accept, "Media type wanted for the answer");
  command.add_option("--timeout", timeout_seconds, "Seconds; 0 means the node's own limit")
      ->check(CLI::Range(0.0, 86400.0));
  command.add_option("--seed", seed, "Seed for models that draw random numbers");
  command.add_option("--pay-with", pay_with, "Key file of the wallet that authorizes payment");
  command.add_option("--amount-wei", amount_wei, "Amount to authorize, in wei")
      ->capture_default_str();
  command.add_option("--max-message-mb", message_mb_max, "Largest input or output, in MiB")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
}

}  // namespace ncn::apps
