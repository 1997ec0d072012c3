#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "gtest/gtest.h"
#include "reference/registry.h"
#include "registry/registry_client.h"
#include "signing/session_proof.h"
#include "signing/subnet_signature.h"
#include "signing/wallet.h"

namespace ncn {

// A folder that goes with the test.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "registry-XXXXXX").native();
    NCN_CHECK(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline signing::Wallet NewWallet() {
  auto wallet = signing::Wallet::Generate();
  NCN_CHECK(wallet.ok());
  return *std::move(wallet);
}

inline inference::SubnetModel SomeModel(const std::string& name, const std::string& content) {
  return {.model = *inference::ModelId::Parse(name),
          .version = "1",
          .format = "onnx",
          .files = {{.path = "model.onnx",
                     .size_bytes = content.size(),
                     .sha256 = base::AsHex(base::Sha256(content))}}};
}

// A subnet as its owner signs it.
inline inference::Subnet SignedSubnet(const signing::Wallet& owner, std::uint64_t version,
                                      std::vector<inference::SubnetModel> models = {},
                                      std::uint32_t id = 7) {
  inference::Subnet subnet{.subnet_id = id,
                           .name = "digits",
                           .owner_address = owner.address().ToString(),
                           .version = version,
                           .models = std::move(models)};
  auto signature = signing::SignSubnet(owner, subnet);
  NCN_CHECK(signature.ok());
  subnet.owner_signature = *std::move(signature);
  return subnet;
}

inline std::int64_t InSeconds(std::int64_t seconds) { return ::time(nullptr) + seconds; }

inline registry::UploadPermit Permit(const signing::Wallet& owner, std::string_view content,
                                     std::int64_t expires = InSeconds(600),
                                     std::uint32_t subnet_id = 7) {
  const std::string sha256 = base::AsHex(base::Sha256(content));
  auto signature = signing::SignFileUpload(owner, {.subnet_id = subnet_id,
                                                   .sha256 = sha256,
                                                   .size_bytes = content.size(),
                                                   .expires_seconds = expires});
  NCN_CHECK(signature.ok());
  return {.subnet_id = subnet_id,
          .sha256 = sha256,
          .size_bytes = content.size(),
          .expires_seconds = expires,
          .owner_signature = *std::move(signature)};
}

inline base::UniqueFd FileWith(std::string_view content) {
  auto fd = base::SealedMemory("content", content);
  NCN_CHECK(fd.ok());
  return *std::move(fd);
}

// Bytes that do not repeat.
inline std::string Bytes(std::size_t size, int seed = 1) {
  std::string bytes;
  bytes.reserve(size + 32);
  for (std::size_t i = 0; bytes.size() < size; ++i) {
    bytes += base::AsBytes(base::Sha256(base::StrCat(seed, ":", i)));
  }
  bytes.resize(size);
  return bytes;
}

inline std::unique_ptr<registry::RegistryClient> ClientOf(
    const std::string& address, std::chrono::milliseconds timeout = std::chrono::seconds(30)) {
  auto client =
      registry::RegistryClient::Make(address, {.call_timeout = timeout, .stall_timeout = timeout});
  NCN_CHECK(client.ok());
  return *std::move(client);
}

inline registry::Presentation PresentationOf(const signing::Wallet& wallet,
                                             std::vector<std::string> models = {"digits"}) {
  registry::Presentation node;
  node.info.address = wallet.address().ToString();
  node.info.supported_models = std::move(models);
  node.info.subnet_id = 7;
  return node;
}

inline registry::SignChallenge SignerOf(const signing::Wallet& wallet) {
  return [&wallet](std::string_view nonce, std::string_view name, std::uint32_t version) {
    return signing::SignChallenge(wallet, nonce, name, version);
  };
}

// A registry on free ports with a folder of its own.
struct TestRegistry {
  explicit TestRegistry(reference::RegistryOptions wanted = {}) : options(std::move(wanted)) {
    options.listen_address = "127.0.0.1:0";
    if (options.folder.empty()) options.folder = scratch.path() / "registry";
    options.free_bytes_reserve = 0;
    Start();
  }
  void Start() {
    auto started = reference::ReferenceRegistry::Start(options);
    NCN_CHECK(started.ok());
    server = *std::move(started);
    client = ClientOf(server->address());
  }
  // What a crash and a new start leave.
  void Restart() {
    client.reset();
    server.reset();
    Start();
  }

  ScratchFolder scratch;
  reference::RegistryOptions options;
  std::unique_ptr<reference::ReferenceRegistry> server;
  std::unique_ptr<registry::RegistryClient> client;
};

}  // namespace ncn
