#include "apps/compute_node/wallet_loading.h"

#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::apps {
namespace {

absl::Status Annotate(const absl::Status& status, std::string_view setting) {
  return absl::Status(status.code(), base::StrCat(setting, ": ", base::ToStd(status.message())));
}

absl::StatusOr<LoadedWallet> Load(const config::NodeConfig& config) {
  if (!config.private_key.empty()) {
    auto wallet = signing::Wallet::FromPrivateKeyHex(config.private_key.Reveal());
    if (!wallet.ok()) return Annotate(wallet.status(), "COMPUTE_NODE_PRIVATE_KEY");
    return LoadedWallet{*std::move(wallet), ""};
  }
  if (config.private_key_file) {
    auto wallet = signing::Wallet::Load(*config.private_key_file);
    if (!wallet.ok()) return Annotate(wallet.status(), "--private-key-file");
    return LoadedWallet{*std::move(wallet), ""};
  }
  const std::filesystem::path file = config.state_dir / "wallet.key";
  auto loaded = signing::Wallet::LoadOrGenerate(file);
  if (!loaded.ok()) return loaded.status();
  return LoadedWallet{
      std::move(loaded->wallet),
      base::StrCat(loaded->generated ? "  No COMPUTE_NODE_PRIVATE_KEY: generated a wallet in "
                                     : "  No COMPUTE_NODE_PRIVATE_KEY: using the wallet in ",
                   file.native(), ", for development only")};
}

}  // namespace

absl::StatusOr<LoadedWallet> LoadWallet(const config::NodeConfig& config) {
  ASSIGN_OR_RETURN(LoadedWallet loaded, Load(config));
  if (config.wallet_address) {
    const auto wanted = signing::EthereumAddress::Parse(*config.wallet_address);
    if (!wanted.ok()) return Annotate(wanted.status(), "NODE_WALLET_ADDRESS");
    if (*wanted != loaded.wallet.address()) {
      return absl::InvalidArgumentError(base::StrCat(
          "NODE_WALLET_ADDRESS is ", wanted->ToString(), ", but the private key belongs to ",
          loaded.wallet.address().ToString(), "; correct one of them, or leave the address out"));
    }
  }
  return loaded;
}

}  // namespace ncn::apps
