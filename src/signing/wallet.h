#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/sha256.h"
#include "signing/address.h"

namespace ncn::signing {

class SecretKey;

// A private key and what it signs. The key stays in one locked page that is left out of core dumps,
// reads as zeros in forked children, and is wiped when the wallet is destroyed. It is never logged,
// printed or put into an error. Movable, not copyable; a const Wallet is thread-safe.
class Wallet {
 public:
  Wallet(Wallet&&) noexcept;
  Wallet& operator=(Wallet&&) noexcept;
  ~Wallet();

  // A key of 64 hexadecimal digits, with or without "0x" before them. The caller wipes its copy.
  static absl::StatusOr<Wallet> FromPrivateKeyHex(std::string_view hex);

  // A new key from the kernel's random numbers.
  static absl::StatusOr<Wallet> Generate();

  // The key in the file `path`. NotFound when there is none; PermissionDenied when another user
  // owns it or may read it; InvalidArgument when it is no regular file or holds no key.
  static absl::StatusOr<Wallet> Load(const std::filesystem::path& path);

  // A new key in the new file `path` of mode 0600; missing folders are made with mode 0700.
  // AlreadyExists when there is a file: a key is never overwritten.
  static absl::StatusOr<Wallet> Create(const std::filesystem::path& path);

  // Load, or Create when there is no file. Of several processes that start at once, all get the key
  // of the one that was first, and the file is never seen in part.
  struct Loaded;
  static absl::StatusOr<Loaded> LoadOrGenerate(const std::filesystem::path& path);

  const EthereumAddress& address() const { return address_; }

  // A recoverable signature of `digest`: 65 bytes r‖s‖v with low s and v 27 or 28, deterministic
  // (RFC 6979). Each is verified before it is given out, so that a computing fault cannot reveal
  // the key. Fails in a process forked from the one that made the wallet.
  absl::StatusOr<std::string> Sign(const base::Digest& digest) const;

 private:
  Wallet(std::unique_ptr<const SecretKey> key, const EthereumAddress& address);
  static absl::StatusOr<Wallet> FromSecret(std::unique_ptr<const SecretKey> key);

  std::unique_ptr<const SecretKey> key_;
  EthereumAddress address_;
};

struct Wallet::Loaded {
  Wallet wallet;
  bool generated = false;  // Whether the file is new.
};

}  // namespace ncn::signing
