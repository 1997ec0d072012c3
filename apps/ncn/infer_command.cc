#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <thread>

#include "absl/strings/str_format.h"
#include "apps/ncn/command.h"
#include "apps/ncn/presentation.h"
#include "apps/ncn/request_options.h"
#include "apps/ncn/response_file.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "executors/executor_report.h"
#include "reference/client.h"
#include "signing/address.h"

namespace ncn::apps {
namespace {

using inference::InferenceResponse;

struct InferOptions {
  RequestOptions request;
  std::string output;
  std::string save;
  std::string signer;
  bool progress = false;
};

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
  const auto request = MakeRequest(options.request);
  if (!request.ok()) return Fail(request.status());
  const StopAtSignal stop;
  const auto client = MakeClient(options.request);
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
  options->request.AddTo(*command);
  command->add_option("--output", options->output, "File for the output's bytes");
  command->add_option("--save", options->save, "File for the signed result, for `ncn verify`");
  command->add_flag("--progress", options->progress,
                    "Tell on standard error how far the node is, as far as its executor says");
  command->add_option("--signer", options->signer, "Address that must have signed the result");
  command->callback([&chosen, options] { chosen.run = [options] { return Infer(*options); }; });
}

}  // namespace ncn::apps
