#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "config/node_config.h"
#include "signing/wallet.h"

namespace ncn::apps {

// The node's wallet, and what the operator should know about where it came from.
struct LoadedWallet {
  signing::Wallet wallet;
  std::string notice;  // A line for standard output; empty when there is nothing to say.
};

// The wallet of COMPUTE_NODE_PRIVATE_KEY, else of --private-key-file, else the development wallet
// in the state folder, which is generated when there is none. InvalidArgument when the key is
// unusable or does not belong to NODE_WALLET_ADDRESS; the message names the setting and never the
// key.
absl::StatusOr<LoadedWallet> LoadWallet(const config::NodeConfig& config);

}  // namespace ncn::apps
