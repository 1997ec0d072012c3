#include <signal.h>
#include <sys/random.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <thread>

#include "absl/strings/str_format.h"
#include "apps/ncn/command.h"
#include "apps/ncn/presentation.h"
#include "apps/ncn/response_file.h"
#include "base/files.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "executors/executor_report.h"
#include "reference/client.h"
#include "signing/payment.h"

namespace ncn::apps {
namespace {

using inference::InferenceRequest;
using inference::InferenceResponse;

struct InferOptions {
  std::string gateway_address = "http://127.0.0.1:50051";
  std::string model;
  std::string input;
  std::string content_type;
  std::string accept;
  std::string output;
  std::string save;
  double timeout_seconds = 0;
  std::optional<std::uint64_t> seed;
  std::string pay_with;
  std::string amount_wei = "1";
  std::string signer;
  bool progress = false;
  std::uint32_t message_mb_max = 256;
};

std::string NewRequestId() {
  std::string random(12, '\0');
  // The kernel gives so few bytes at once and without fail.
  if (::getrandom(random.data(), random.size(), 0) < 0) std::abort();
  return base::StrCat("ncn-", base::HexEncode(random));
}

absl::StatusOr<InferenceRequest> MakeRequest(const InferOptions& options) {
  ASSIGN_OR_RETURN(inference::RequestId id, inference::RequestId::Parse(NewRequestId()));
  ASSIGN_OR_RETURN(inference::ModelId model, inference::ModelId::Parse(options.model));
  // What is too large is for the node to refuse; this bound only keeps our own memory in check.
  constexpr std::size_t kInputBytesMax = 2ULL << 30;
  const bool from_stdin = options.input == "-";
  ASSIGN_OR_RETURN(std::string bytes, from_stdin ? base::ReadAll(STDIN_FILENO, kInputBytesMax)
                                                 : base::ReadFile(options.input, kInputBytesMax));
  InferenceRequest request{.id = std::move(id),
                           .model = std::move(model),
                           .input = {std::move(bytes), options.content_type}};
  if (request.input.content_type.empty()) request.input.content_type = MediaTypeOf(options.input);
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

// Requests a stop at SIGINT or SIGTERM, which are blocked from here on.
class StopAtSignal {
 public:
  StopAtSignal() {
    ::sigemptyset(&signals_);
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) ::sigaddset(&signals_, signal);
    ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    waiter_ = std::thread([this] {
      int signal = 0;
      ::sigwait(&signals_, &signal);
      if (signal != SIGUSR1) stop_.request_stop();
    });
  }
  ~StopAtSignal() {
    ::pthread_kill(waiter_.native_handle(), SIGUSR1);
    waiter_.join();
  }
  std::stop_token token() const { return stop_.get_token(); }

 private:
  sigset_t signals_;
  std::stop_source stop_;
  std::thread waiter_;
};

// A line whenever the node says more; what there is of a text so far, too.
void PrintUpdate(const wire::TaskUpdate& update) {
  if (update.final()) return;
  std::string line = absl::StrFormat("%-10s", std::string(wire::Name(update.state)));
  if (update.done_permille > 0)
    absl::StrAppendFormat(&line, " %5.1f %%", update.done_permille / 10.0);
  if (!update.note.empty()) line += base::StrCat("  ", executors::Printable(update.note, 200));
  if (update.partial.content_type.starts_with("text/") && !update.partial.bytes.empty()) {
    line += base::StrCat("  ", executors::Printable(update.partial.bytes, 400));
  }
  std::fprintf(stderr, "%s\n", line.c_str());
}

int FailWith(const inference::Failure& failure) {
  // The specification's messages stand by themselves on the first line.
  std::fprintf(stderr, "Error: %s\n", failure.message.c_str());
  if (!failure.detail.empty()) std::fprintf(stderr, "  said    %s\n", failure.detail.c_str());
  std::fprintf(stderr, "  kind    %s\n", std::string(inference::Name(failure.kind)).c_str());
  if (!failure.cure.empty()) std::fprintf(stderr, "  to do   %s\n", failure.cure.c_str());
  return 1;
}

absl::Status Keep(const InferOptions& options, const InferenceResponse& response) {
  if (!options.output.empty()) {
    RETURN_IF_ERROR(
        base::WriteFileAtomically(options.output, response.result().output.bytes, 0644));
  }
  if (!options.save.empty()) {
    RETURN_IF_ERROR(base::WriteFileAtomically(options.save, ToResponseFile(response), 0644));
  }
  return absl::OkStatus();
}

int Infer(const InferOptions& options) {
  const auto request = MakeRequest(options);
  if (!request.ok()) return Fail(request.status());
  reference::GatewayClient::Options client_options;
  client_options.connection.payload_bytes_max = std::size_t{options.message_mb_max} << 20;
  const StopAtSignal stop;
  const auto client = reference::GatewayClient::Make(options.gateway_address, client_options);
  if (!client.ok()) return Fail(client.status());
  const auto start = std::chrono::steady_clock::now();
  const auto answer = options.progress ? (*client)->Infer(*request, stop.token(), PrintUpdate)
                                       : (*client)->Infer(*request, stop.token());
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  if (!answer.ok()) return Fail(answer.status());
  const InferenceResponse& response = *answer->response;
  if (!response.ok()) return FailWith(response.failure());
  if (!options.signer.empty()) {
    const auto wanted = signing::EthereumAddress::Parse(options.signer);
    if (!wanted.ok()) return Fail(wanted.status());
    if (wanted->ToString() != answer->signer) {
      return Fail(base::StrCat("not verified: signed by ", answer->signer, ", not by ",
                               wanted->ToString()));
    }
  }
  if (const absl::Status kept = Keep(options, response); !kept.ok()) return Fail(kept);
  std::printf("%s%s", DescribeOutput(response.result().output).c_str(),
              DescribeRecord(response.result().record).c_str());
  std::printf("whole way %.1f ms\nsigner    %s\nresult    verified\n", took.count(),
              answer->signer.c_str());
  return 0;
}

}  // namespace

void AddInferCommand(CLI::App& app, Chosen& chosen) {
  auto options = std::make_shared<InferOptions>();
  CLI::App* command =
      app.add_subcommand("infer", "Send one request to a gateway, and show and verify the result");
  command->add_option("--gateway-addr", options->gateway_address, "Gateway, http(s)://HOST:PORT")
      ->envname("GATEWAY_ADDR")
      ->capture_default_str();
  command->add_option("--model", options->model, "Name of the model")->required();
  command->add_option("--input", options->input, "File with the input; - reads standard input")
      ->required();
  command->add_option("--content-type", options->content_type,
                      "Media type of the input; by the file's extension when not given");
  command->add_option("--accept", options->accept, "Media type wanted for the answer");
  command->add_option("--output", options->output, "File for the output's bytes");
  command->add_option("--save", options->save, "File for the signed result, for `ncn verify`");
  command
      ->add_option("--timeout", options->timeout_seconds, "Seconds; 0 means the node's own limit")
      ->check(CLI::Range(0.0, 86400.0));
  command->add_option("--seed", options->seed, "Seed for models that draw random numbers");
  command->add_flag("--progress", options->progress,
                    "Tell on standard error how far the node is, as far as its executor says");
  command->add_option("--signer", options->signer, "Address that must have signed the result");
  command->add_option("--pay-with", options->pay_with,
                      "Key file of the wallet that authorizes payment");
  command->add_option("--amount-wei", options->amount_wei, "Amount to authorize, in wei")
      ->capture_default_str();
  command
      ->add_option("--max-message-mb", options->message_mb_max, "Largest input or output, in MiB")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->callback([&chosen, options] { chosen.run = [options] { return Infer(*options); }; });
}

}  // namespace ncn::apps
