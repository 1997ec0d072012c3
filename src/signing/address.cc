#include "signing/address.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "base/check.h"
#include "base/hex.h"
#include "base/strings.h"
#include "signing/keccak.h"

namespace ncn::signing {
namespace {

absl::Status NoAddress(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(base::StrCat("'",
                                                 absl::CHexEscape(base::ToAbsl(text.substr(0, 64))),
                                                 "' is not an Ethereum address: ", why));
}

}  // namespace

absl::StatusOr<EthereumAddress> EthereumAddress::Parse(std::string_view text) {
  if (!text.starts_with("0x")) return NoAddress(text, "it does not begin with 0x");
  if (text.size() != 42) {
    return NoAddress(text, "it has other than 40 digits after 0x");
  }
  const std::optional<std::string> decoded = base::HexDecode(text);
  if (!decoded || decoded->size() != 20) {
    return NoAddress(text, "not all of its digits are hexadecimal");
  }
  Bytes bytes;
  std::copy(decoded->begin(), decoded->end(), bytes.begin());
  const EthereumAddress address(bytes);
  const bool mixed_case =
      std::any_of(text.begin() + 2, text.end(), [](char c) { return c >= 'a' && c <= 'f'; }) &&
      std::any_of(text.begin() + 2, text.end(), [](char c) { return c >= 'A' && c <= 'F'; });
  if (mixed_case && address.ToString() != text) {
    return NoAddress(text,
                     "its upper- and lower-case letters fail the checksum of EIP-55, so a digit is "
                     "mistyped; copy it again");
  }
  return address;
}

EthereumAddress EthereumAddress::FromPublicKey(std::string_view public_key) {
  NCN_CHECK(public_key.size() == 64);
  const base::Digest digest = Keccak256(public_key);
  Bytes bytes;
  std::copy(digest.end() - 20, digest.end(), bytes.begin());
  return EthereumAddress(bytes);
}

std::string EthereumAddress::ToString() const {
  std::string digits =
      base::HexEncode({reinterpret_cast<const char*>(bytes_.data()), bytes_.size()});
  const std::string checksum = base::AsHex(Keccak256(digits));
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (checksum[i] >= '8') {
      digits[i] = absl::ascii_toupper(static_cast<unsigned char>(digits[i]));
    }
  }
  return "0x" + digits;
}

}  // namespace ncn::signing
