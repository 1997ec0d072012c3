#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace ncn::base {

// A 32-byte hash.
using Digest = std::array<unsigned char, 32>;

inline std::string_view AsBytes(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}
// 64 lower-case digits.
std::string AsHex(const Digest& digest);

// SHA-256 of bytes that arrive in parts. Movable, not copyable; not thread-safe.
class Sha256Hasher {
 public:
  Sha256Hasher();
  Sha256Hasher(Sha256Hasher&&) noexcept;
  Sha256Hasher& operator=(Sha256Hasher&&) noexcept;
  ~Sha256Hasher();

  Sha256Hasher& Update(std::string_view bytes);
  // The hash of everything given so far. The hasher starts afresh.
  Digest Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

Digest Sha256(std::string_view bytes);

// SHA-256 of the whole file behind `fd`, whose offset does not matter and stays.
absl::StatusOr<Digest> Sha256OfFile(int fd);

}  // namespace ncn::base
