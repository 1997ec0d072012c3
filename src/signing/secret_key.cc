#include "signing/secret_key.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/errno_status.h"
#include "base/status_macros.h"

namespace ncn::signing {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";

// The value of a hexadecimal digit, or -1.
int DigitValue(char c) {
  if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  const std::size_t found = kDigits.find(c);
  return found == std::string_view::npos ? -1 : static_cast<int>(found);
}

absl::Status FillWithRandomBytes(std::span<unsigned char> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = ::getrandom(bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::ErrnoStatus(errno, "getrandom");
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SecretPage>> SecretPage::Make() {
  const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* address = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return base::ErrnoStatus(errno, "memory for the wallet key");
  std::unique_ptr<SecretPage> page(new SecretPage({static_cast<unsigned char*>(address), size}));
  if (::mlock(address, size) != 0) {
    return absl::ResourceExhaustedError(
        "the memory of the wallet key cannot be locked, so it could reach the swap; allow at least "
        "64 KiB of locked memory (ulimit -l 64, or LimitMEMLOCK=64K in a systemd unit)");
  }
  if (::madvise(address, size, MADV_DONTDUMP) != 0 ||
      ::madvise(address, size, MADV_WIPEONFORK) != 0) {
    return base::ErrnoStatus(errno, "protect the memory of the wallet key");
  }
  return page;
}

SecretPage::~SecretPage() {
  ::explicit_bzero(bytes_.data(), bytes_.size());
  ::munmap(bytes_.data(), bytes_.size());
}

absl::StatusOr<std::unique_ptr<const SecretKey>> SecretKey::FromHex(std::string_view hex) {
  if (hex.starts_with("0x")) hex.remove_prefix(2);
  if (hex.size() != 2 * kBytes) {
    return absl::InvalidArgumentError(
        "a private key is 64 hexadecimal digits, with or without 0x before them; this text has "
        "another length");
  }
  ASSIGN_OR_RETURN(std::unique_ptr<SecretPage> page, SecretPage::Make());
  for (std::size_t i = 0; i < kBytes; ++i) {
    const int high = DigitValue(hex[2 * i]);
    const int low = DigitValue(hex[2 * i + 1]);
    if (high < 0 || low < 0) {
      return absl::InvalidArgumentError(
          "a private key is 64 hexadecimal digits; this text has other characters among them");
    }
    page->bytes()[i] = static_cast<unsigned char>(high * 16 + low);
  }
  return FromPage(std::move(page));
}

absl::StatusOr<std::unique_ptr<const SecretKey>> SecretKey::Generate() {
  ASSIGN_OR_RETURN(std::unique_ptr<SecretPage> page, SecretPage::Make());
  do {  // All but one in 2^127 numbers of 32 bytes are keys.
    RETURN_IF_ERROR(FillWithRandomBytes(page->bytes().first(kBytes)));
  } while (secp256k1_ec_seckey_verify(secp256k1_context_static, page->bytes().data()) != 1);
  return FromPage(std::move(page));
}

absl::StatusOr<std::unique_ptr<const SecretKey>> SecretKey::FromPage(
    std::unique_ptr<SecretPage> page) {
  if (secp256k1_ec_seckey_verify(secp256k1_context_static, page->bytes().data()) != 1) {
    return absl::InvalidArgumentError(
        "the number is not a private key of secp256k1 (zero, or not below the group order); make a "
        "new one");
  }
  std::array<unsigned char, 32> seed;
  RETURN_IF_ERROR(FillWithRandomBytes(seed));
  secp256k1_context* context = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
  NCN_CHECK(context != nullptr);
  const int randomized = secp256k1_context_randomize(context, seed.data());
  ::explicit_bzero(seed.data(), seed.size());
  NCN_CHECK(randomized == 1);
  return std::unique_ptr<const SecretKey>(new SecretKey(std::move(page), context));
}

SecretKey::~SecretKey() { secp256k1_context_destroy(context_); }

std::string_view SecretKey::WriteHex(SecretPage& page) const {
  const std::span<unsigned char> text = page.bytes();
  for (std::size_t i = 0; i < kBytes; ++i) {
    text[2 * i] = static_cast<unsigned char>(kDigits[data()[i] >> 4]);
    text[2 * i + 1] = static_cast<unsigned char>(kDigits[data()[i] & 15]);
  }
  text[2 * kBytes] = '\n';
  return {reinterpret_cast<const char*>(text.data()), 2 * kBytes + 1};
}

}  // namespace ncn::signing
