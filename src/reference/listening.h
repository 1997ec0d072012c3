#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/security/server_credentials.h"

namespace ncn::reference {

// What the servers of this room say about where they listen.

// "127.0.0.1" of "127.0.0.1:50051".
std::string HostOf(const std::string& listen_address);
bool IsLoopback(const std::string& host);

// The authorities that a server on a loopback address has; none for any other address, whose names
// only its operator knows.
std::vector<std::string> LoopbackNames(const std::string& listen_address, int port);

// http(s)://host:port, as clients on this machine write it.
std::string AddressOf(const std::string& listen_address, int port, bool tls);

// Of PEM files; empty: without TLS.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(
    const std::filesystem::path& certificate_file, const std::filesystem::path& key_file);

absl::Status CannotListen(const std::string& listen_address);

}  // namespace ncn::reference
