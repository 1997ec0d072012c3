#include "reference/listening.h"

#include <utility>

#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::reference {
namespace {

constexpr std::size_t kPemBytesMax = 1 << 20;

}  // namespace

std::string HostOf(const std::string& listen_address) {
  return listen_address.substr(0, listen_address.rfind(':'));
}

bool IsLoopback(const std::string& host) {
  return host.starts_with("127.") || host == "localhost" || host == "[::1]";
}

std::vector<std::string> LoopbackNames(const std::string& listen_address, int port) {
  const std::string host = HostOf(listen_address);
  if (!IsLoopback(host)) return {};
  std::vector<std::string> names;
  for (const std::string& name :
       {host, std::string("127.0.0.1"), std::string("localhost"), std::string("[::1]")}) {
    names.push_back(base::StrCat(name, ":", port));
  }
  return names;
}

std::string AddressOf(const std::string& listen_address, int port, bool tls) {
  std::string host = HostOf(listen_address);
  if (host == "0.0.0.0" || host == "[::]") host = "127.0.0.1";
  return base::StrCat(tls ? "https://" : "http://", host, ":", port);
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(
    const std::filesystem::path& certificate_file, const std::filesystem::path& key_file) {
  if (certificate_file.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions ssl;
  ASSIGN_OR_RETURN(std::string certificate, base::ReadFile(certificate_file, kPemBytesMax));
  ASSIGN_OR_RETURN(std::string key, base::ReadFile(key_file, kPemBytesMax));
  ssl.pem_key_cert_pairs.push_back({std::move(key), std::move(certificate)});
  return grpc::SslServerCredentials(ssl);
}

absl::Status CannotListen(const std::string& listen_address) {
  return absl::UnavailableError(base::StrCat(
      "cannot listen on ", listen_address,
      ": the port is taken, or the address is none of this machine; choose another port, or 0 for "
      "any that is free"));
}

}  // namespace ncn::reference
