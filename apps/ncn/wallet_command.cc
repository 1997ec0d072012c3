#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "apps/ncn/command.h"
#include "config/locations.h"
#include "signing/wallet.h"

namespace ncn::apps {
namespace {

int New(const std::string& file) {
  const auto wallet = signing::Wallet::Create(file);
  if (!wallet.ok()) return Fail(wallet.status());
  std::printf(
      "Created %s (mode 0600) for address %s\n"
      "Keep a copy in a safe place: whoever has this file has the wallet, and nobody can restore "
      "it.\n",
      file.c_str(), wallet->address().ToString().c_str());
  return 0;
}

int Show(const std::string& file) {
  const auto wallet = signing::Wallet::Load(file);
  if (!wallet.ok()) return Fail(wallet.status());
  std::printf("file     %s\naddress  %s\n", file.c_str(), wallet->address().ToString().c_str());
  return 0;
}

int Address(const std::string& file) {
  const auto wallet = signing::Wallet::Load(file);
  if (!wallet.ok()) return Fail(wallet.status());
  std::printf("%s\n", wallet->address().ToString().c_str());
  return 0;
}

}  // namespace

void AddWalletCommand(CLI::App& app, Chosen& chosen) {
  CLI::App* wallet = app.add_subcommand("wallet", "Make a wallet, or show its address");
  wallet->require_subcommand(1);
  auto file = std::make_shared<std::string>((config::DefaultStateDir() / "wallet.key").native());
  const auto add = [&](const char* name, const char* text, int (*run)(const std::string&)) {
    CLI::App* command = wallet->add_subcommand(name, text);
    command->add_option("--file", *file, "Key file, mode 0600")->capture_default_str();
    command->callback([&chosen, file, run] { chosen.run = [file, run] { return run(*file); }; });
  };
  add("new", "Make a new key file; an existing one is never overwritten", New);
  add("show", "Show which file and address the wallet has; never the key", Show);
  add("address", "Print the address alone, for scripts", Address);
}

}  // namespace ncn::apps
