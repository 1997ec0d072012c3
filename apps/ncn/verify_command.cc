#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>

#include "apps/ncn/command.h"
#include "apps/ncn/response_file.h"
#include "base/files.h"
#include "signing/result_signature.h"

namespace ncn::apps {
namespace {

constexpr std::size_t kResponseFileBytesMax = 2ULL << 30;

struct VerifyOptions {
  std::string file;
  std::optional<std::string> signer;
};

int Verify(const VerifyOptions& options) {
  const auto text = base::ReadFile(options.file, kResponseFileBytesMax);
  if (!text.ok()) return Fail(text.status());
  const auto response = FromResponseFile(*text);
  if (!response.ok()) {
    return Fail(options.file + ": " + std::string(response.status().message()) +
                "; give a file that `ncn infer --save` wrote");
  }
  const auto signer = signing::VerifyResponse(*response);
  if (!signer.ok()) return Fail("not verified: " + std::string(signer.status().message()));
  if (options.signer) {
    const auto wanted = signing::EthereumAddress::Parse(*options.signer);
    if (!wanted.ok()) return Fail(wanted.status());
    if (*wanted != *signer) {
      return Fail("not verified: signed by " + signer->ToString() + ", not by " +
                  wanted->ToString());
    }
  }
  std::printf("verified: request %s to model %s, signed by %s\n",
              response->request_id.value().c_str(), response->model.value().c_str(),
              signer->ToString().c_str());
  return 0;
}

}  // namespace

void AddVerifyCommand(CLI::App& app, Chosen& chosen) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* command = app.add_subcommand(
      "verify", "Check hash, signature and attestation of a result saved by `ncn infer --save`");
  command->add_option("file", options->file, "The saved result")->required();
  command->add_option("--signer", options->signer, "Address that must have signed it");
  command->callback([&chosen, options] { chosen.run = [options] { return Verify(*options); }; });
}

}  // namespace ncn::apps
