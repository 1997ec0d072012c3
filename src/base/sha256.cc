#include "base/sha256.h"

#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/errno_status.h"
#include "base/hex.h"

namespace ncn::base {

// OpenSSL's SHA-256 fails only when the machine is out of memory or has no provider for it.
struct Sha256Hasher::Context {
  Context() : evp(EVP_MD_CTX_new()) {
    NCN_CHECK(evp != nullptr);
    Start();
  }
  ~Context() { EVP_MD_CTX_free(evp); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  void Start() { NCN_CHECK(EVP_DigestInit_ex(evp, EVP_sha256(), nullptr) == 1); }

  EVP_MD_CTX* const evp;
};

Sha256Hasher::Sha256Hasher() : context_(std::make_unique<Context>()) {}
Sha256Hasher::Sha256Hasher(Sha256Hasher&&) noexcept = default;
Sha256Hasher& Sha256Hasher::operator=(Sha256Hasher&&) noexcept = default;
Sha256Hasher::~Sha256Hasher() = default;

Sha256Hasher& Sha256Hasher::Update(std::string_view bytes) {
  NCN_CHECK(EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()) == 1);
  return *this;
}

Digest Sha256Hasher::Finish() {
  Digest digest;
  unsigned int size = 0;
  NCN_CHECK(EVP_DigestFinal_ex(context_->evp, digest.data(), &size) == 1 && size == digest.size());
  context_->Start();
  return digest;
}

std::string AsHex(const Digest& digest) { return HexEncode(AsBytes(digest)); }

Digest Sha256(std::string_view bytes) { return Sha256Hasher().Update(bytes).Finish(); }

absl::StatusOr<Digest> Sha256OfFile(int fd) {
  Sha256Hasher hasher;
  std::vector<char> chunk(256 * 1024);
  off_t offset = 0;
  while (true) {
    const ssize_t got = ::pread(fd, chunk.data(), chunk.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read");
    if (got == 0) return hasher.Finish();
    hasher.Update({chunk.data(), static_cast<std::size_t>(got)});
    offset += got;
  }
}

}  // namespace ncn::base
