#pragma once

#include <secp256k1.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"

namespace ncn::signing {

// One page of memory for secrets: locked, left out of core dumps, zero in forked children, wiped
// when destroyed. Not thread-safe.
class SecretPage {
 public:
  // ResourceExhausted when the page cannot be locked, with the limit to raise.
  static absl::StatusOr<std::unique_ptr<SecretPage>> Make();
  ~SecretPage();
  SecretPage(const SecretPage&) = delete;
  SecretPage& operator=(const SecretPage&) = delete;

  std::span<unsigned char> bytes() { return bytes_; }
  std::span<const unsigned char> bytes() const { return bytes_; }

 private:
  explicit SecretPage(std::span<unsigned char> bytes) : bytes_(bytes) {}

  const std::span<unsigned char> bytes_;
};

// A valid private key of secp256k1 in a SecretPage, with a signing context that is randomised
// against side channels. Immutable; thread-safe.
class SecretKey {
 public:
  static constexpr std::size_t kBytes = 32;

  // 64 hexadecimal digits, with or without "0x". No error shows any of them.
  static absl::StatusOr<std::unique_ptr<const SecretKey>> FromHex(std::string_view hex);
  static absl::StatusOr<std::unique_ptr<const SecretKey>> Generate();
  ~SecretKey();
  SecretKey(const SecretKey&) = delete;
  SecretKey& operator=(const SecretKey&) = delete;

  const unsigned char* data() const { return page_->bytes().data(); }
  const secp256k1_context* context() const { return context_; }

  // The key as 64 digits and a newline in `page`, which stays the caller's; returns the text.
  std::string_view WriteHex(SecretPage& page) const;

 private:
  SecretKey(std::unique_ptr<SecretPage> page, secp256k1_context* context)
      : page_(std::move(page)), context_(context) {}
  static absl::StatusOr<std::unique_ptr<const SecretKey>> FromPage(
      std::unique_ptr<SecretPage> page);

  const std::unique_ptr<const SecretPage> page_;
  secp256k1_context* const context_;
};

}  // namespace ncn::signing
