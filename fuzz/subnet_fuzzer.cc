// Whatever metadata arrives: no crash, and what is accepted keeps to every rule, encodes to what is
// accepted again, unchanged, and has a digest or an error.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "inference/subnet.h"
#include "ncn/v2/p2p_registry.pb.h"
#include "signing/subnet_signature.h"
#include "wire/codec.h"

namespace {

using namespace ncn;  // NOLINT(google-build-using-namespace)

void CheckPath(std::string_view path) {
  if (!inference::CheckFilePath(path).ok()) return;
  NCN_CHECK(!path.empty() && path.front() != '/' && path.size() <= inference::kFilePathBytesMax);
  NCN_CHECK(("/" + std::string(path) + "/").find("/.") == std::string::npos);
  NCN_CHECK(path.find('\0') == std::string_view::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  CheckPath(bytes);
  v2::Subnet message;
  if (!message.ParseFromString(bytes)) return 0;
  const auto first = wire::Decode(std::move(message));
  if (!first.ok()) {
    NCN_CHECK(first.status().message().size() < 4096);
    return 0;
  }
  for (const inference::SubnetModel& model : first->models) {
    for (const inference::SubnetFile& file : model.files) CheckPath(file.path);
  }
  v2::Subnet encoded;
  wire::Encode(*first, &encoded);
  const std::string once = encoded.SerializeAsString();
  const auto second = wire::Decode(std::move(encoded));
  NCN_CHECK(second.ok());
  v2::Subnet again;
  wire::Encode(*second, &again);
  NCN_CHECK(again.SerializeAsString() == once);
  static_cast<void>(signing::VerifySubnet(*first).ok());
  return 0;
}
