#pragma once

#include <array>
#include <compare>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace ncn::signing {

// An Ethereum address. Immutable value.
class EthereumAddress {
 public:
  using Bytes = std::array<unsigned char, 20>;

  explicit EthereumAddress(const Bytes& bytes) : bytes_(bytes) {}

  // Reads "0x" and 40 hexadecimal digits. Digits of mixed case carry a checksum (EIP-55), which is
  // checked; digits of one case carry none. InvalidArgument says what is wrong.
  static absl::StatusOr<EthereumAddress> Parse(std::string_view text);

  // The address of an uncompressed public key: x and y, 64 bytes without a leading 04.
  static EthereumAddress FromPublicKey(std::string_view public_key);

  const Bytes& bytes() const { return bytes_; }
  // "0x" and 40 digits with the checksum of EIP-55.
  std::string ToString() const;

  friend auto operator<=>(const EthereumAddress&, const EthereumAddress&) = default;

 private:
  Bytes bytes_;
};

}  // namespace ncn::signing
