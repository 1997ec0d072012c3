#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/sha256.h"
#include "inference/subnet.h"
#include "signing/address.h"
#include "signing/wallet.h"

namespace ncn::signing {

// What the owner of a subnet signs: EIP-712 messages in the domain of typed_message.h.
//   SubnetMetadata(uint32 subnetId,string name,address owner,uint64 version,SubnetModel[] models)
//   SubnetModel(string model,string version,string format,SubnetFile[] files,
//               string executorScript,uint64 memoryBytesMin)
//   SubnetFile(string path,uint64 sizeBytes,bytes32 sha256,bool unpack)
// Sources are left out: the hash says what is right, wherever it comes from.

// The digest of SubnetMetadata. InvalidArgument when the owner is no address or a hash is not 64
// digits. Thread-safe.
absl::StatusOr<base::Digest> SubnetDigest(const inference::Subnet& subnet);

// The signature for Subnet::owner_signature. InvalidArgument when `owner` is not the subnet's.
absl::StatusOr<std::string> SignSubnet(const Wallet& owner, const inference::Subnet& subnet);

// That the subnet's owner signed it; returns the owner. FailedPrecondition when it is not signed,
// InvalidArgument when the signature is malformed, PermissionDenied when somebody else made it, or
// for other metadata.
absl::StatusOr<EthereumAddress> VerifySubnet(const inference::Subnet& subnet);

// The leave to give a registry one file until `expires_seconds` (Unix time):
//   FileUpload(uint32 subnetId,bytes32 sha256,uint64 sizeBytes,uint64 expiresSeconds)
struct FileUpload {
  std::uint32_t subnet_id = 0;
  std::string sha256;  // 64 lower-case digits.
  std::uint64_t size_bytes = 0;
  std::int64_t expires_seconds = 0;
};
absl::StatusOr<std::string> SignFileUpload(const Wallet& owner, const FileUpload& upload);
// Who signed it. Any well-formed signature recovers to some address: the caller compares, and looks
// at the expiry.
absl::StatusOr<EthereumAddress> RecoverFileUploadSigner(const FileUpload& upload,
                                                        std::string_view signature);

}  // namespace ncn::signing
