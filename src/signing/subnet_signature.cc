#include "signing/subnet_signature.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/hex.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "signing/keccak.h"
#include "signing/recovery.h"
#include "signing/typed_message.h"

namespace ncn::signing {
namespace {

using base::Digest;

// The structs of EIP-712 are hashed here one by one, without the JSON that eip712.h reads: a subnet
// may have ten thousand models. The tests hold the result against eip712.h.

#define NCN_SUBNET_FILE "SubnetFile(string path,uint64 sizeBytes,bytes32 sha256,bool unpack)"
#define NCN_SUBNET_MODEL                                                             \
  "SubnetModel(string model,string version,string format,SubnetFile[] files,string " \
  "executorScript,uint64 memoryBytesMin)"
constexpr char kFileType[] = NCN_SUBNET_FILE;
constexpr char kModelType[] = NCN_SUBNET_MODEL NCN_SUBNET_FILE;
constexpr char kSubnetType[] =
    "SubnetMetadata(uint32 subnetId,string name,address owner,uint64 version,SubnetModel[] "
    "models)" NCN_SUBNET_FILE NCN_SUBNET_MODEL;
#undef NCN_SUBNET_FILE
#undef NCN_SUBNET_MODEL

// The words of a struct, or the elements of an array, in a row.
class Words {
 public:
  Words() = default;
  explicit Words(const Digest& type_hash) { Add(type_hash); }

  Words& Add(const Digest& word) {
    bytes_ += base::AsBytes(word);
    return *this;
  }
  Words& Text(std::string_view text) { return Add(Keccak256(text)); }
  Words& Number(std::uint64_t number) {
    Digest word{};
    for (std::size_t i = 0; i < 8; ++i) {
      word[31 - i] = static_cast<unsigned char>(number >> (8 * i));
    }
    return Add(word);
  }
  Words& Address(const EthereumAddress& address) {
    Digest word{};
    std::copy(address.bytes().begin(), address.bytes().end(), word.begin() + 12);
    return Add(word);
  }
  Digest Hash() const { return Keccak256(bytes_); }

 private:
  std::string bytes_;
};

absl::StatusOr<Digest> ParseHash(std::string_view sha256) {
  const std::optional<std::string> bytes =
      inference::IsSha256(sha256) ? base::HexDecode(sha256) : std::nullopt;
  if (!bytes) {
    return absl::InvalidArgumentError("a file's sha256 is not 64 lower-case hexadecimal digits");
  }
  Digest word{};
  std::copy(bytes->begin(), bytes->end(), word.begin());
  return word;
}

absl::StatusOr<Digest> HashFile(const inference::SubnetFile& file) {
  static const Digest type = Keccak256(kFileType);
  ASSIGN_OR_RETURN(const Digest sha256, ParseHash(file.sha256));
  return Words(type)
      .Text(file.path)
      .Number(file.size_bytes)
      .Add(sha256)
      .Number(file.unpack ? 1 : 0)
      .Hash();
}

absl::StatusOr<Digest> HashModel(const inference::SubnetModel& model) {
  static const Digest type = Keccak256(kModelType);
  Words files;
  for (const inference::SubnetFile& file : model.files) {
    ASSIGN_OR_RETURN(const Digest hash, HashFile(file));
    files.Add(hash);
  }
  return Words(type)
      .Text(model.model.value())
      .Text(model.version)
      .Text(model.format)
      .Add(files.Hash())
      .Text(model.executor_script)
      .Number(model.memory_bytes_min)
      .Hash();
}

Digest DomainSeparator() {
  return Words(Keccak256("EIP712Domain(string name,string version)"))
      .Text(kDomainName)
      .Text(kDomainVersion)
      .Hash();
}

constexpr std::array<MessageField, 4> kUploadFields = {{{"subnetId", "uint32"},
                                                        {"sha256", "bytes32"},
                                                        {"sizeBytes", "uint64"},
                                                        {"expiresSeconds", "uint64"}}};
constexpr MessageType kUploadType = {"FileUpload", kUploadFields};

absl::StatusOr<std::string> UploadText(const FileUpload& upload) {
  if (!inference::IsSha256(upload.sha256)) {
    return absl::InvalidArgumentError("the upload's sha256 is not 64 lower-case digits");
  }
  if (upload.expires_seconds < 0) {
    return absl::InvalidArgumentError("the upload's expires_seconds is no Unix time");
  }
  nlohmann::ordered_json message = nlohmann::ordered_json::object();
  message["subnetId"] = upload.subnet_id;
  message["sha256"] = "0x" + upload.sha256;
  message["sizeBytes"] = upload.size_bytes;
  message["expiresSeconds"] = upload.expires_seconds;
  return TypedMessageText(kUploadType, message);
}

}  // namespace

absl::StatusOr<Digest> SubnetDigest(const inference::Subnet& subnet) {
  static const Digest type = Keccak256(kSubnetType);
  ASSIGN_OR_RETURN(const EthereumAddress owner, EthereumAddress::Parse(subnet.owner_address));
  Words models;
  for (const inference::SubnetModel& model : subnet.models) {
    ASSIGN_OR_RETURN(const Digest hash, HashModel(model));
    models.Add(hash);
  }
  const Digest message = Words(type)
                             .Number(subnet.subnet_id)
                             .Text(subnet.name)
                             .Address(owner)
                             .Number(subnet.version)
                             .Add(models.Hash())
                             .Hash();
  return Keccak256(base::StrCat(std::string_view("\x19\x01"), base::AsBytes(DomainSeparator()),
                                base::AsBytes(message)));
}

absl::StatusOr<std::string> SignSubnet(const Wallet& owner, const inference::Subnet& subnet) {
  ASSIGN_OR_RETURN(const EthereumAddress stated, EthereumAddress::Parse(subnet.owner_address));
  if (stated != owner.address()) {
    return absl::InvalidArgumentError(
        base::StrCat("subnet ", subnet.subnet_id, " belongs to ", stated.ToString(),
                     ", but the wallet is that of ", owner.address().ToString()));
  }
  ASSIGN_OR_RETURN(const Digest digest, SubnetDigest(subnet));
  return owner.Sign(digest);
}

absl::StatusOr<EthereumAddress> VerifySubnet(const inference::Subnet& subnet) {
  if (subnet.owner_signature.empty()) {
    return absl::FailedPreconditionError(
        base::StrCat("the metadata of subnet ", subnet.subnet_id, " is not signed by its owner"));
  }
  ASSIGN_OR_RETURN(const Digest digest, SubnetDigest(subnet));
  ASSIGN_OR_RETURN(const EthereumAddress signer, RecoverSigner(digest, subnet.owner_signature));
  ASSIGN_OR_RETURN(const EthereumAddress owner, EthereumAddress::Parse(subnet.owner_address));
  if (signer != owner) {
    return absl::PermissionDeniedError(
        base::StrCat("the metadata of subnet ", subnet.subnet_id, " was not signed by its owner ",
                     owner.ToString(), ", or was changed afterwards"));
  }
  return owner;
}

absl::StatusOr<std::string> SignFileUpload(const Wallet& owner, const FileUpload& upload) {
  ASSIGN_OR_RETURN(const std::string text, UploadText(upload));
  return SignTypedMessage(owner, text);
}

absl::StatusOr<EthereumAddress> RecoverFileUploadSigner(const FileUpload& upload,
                                                        std::string_view signature) {
  ASSIGN_OR_RETURN(const std::string text, UploadText(upload));
  return RecoverTypedMessageSigner(text, signature);
}

}  // namespace ncn::signing
