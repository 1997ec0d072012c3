#include "signing/keccak.h"

#include <crypto++/keccak.h>

namespace ncn::signing {

base::Digest Keccak256(std::string_view bytes) {
  base::Digest digest;
  CryptoPP::Keccak_256 hash;
  hash.Update(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  hash.Final(digest.data());
  return digest;
}

}  // namespace ncn::signing
