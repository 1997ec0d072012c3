#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"

namespace ncn::reference {

struct RegistryOptions {
  std::string listen_address = "127.0.0.1:50050";   // host:port; port 0: any that is free.
  std::string http_listen_address = "127.0.0.1:0";  // Of the files; empty: by gRPC only.
  // How others reach the files over HTTP, such as "https://files.example"; empty: they do not, but
  // for clients on this machine when http_listen_address is a loopback address.
  std::string http_url;
  std::filesystem::path folder;  // Of everything that is kept; made when it is missing.
  std::uint64_t storage_bytes_max = 64ULL << 30;
  std::uint64_t free_bytes_reserve = 256 << 20;
  std::chrono::seconds node_time_to_live{30};
  std::chrono::seconds upload_idle_max{10};  // Then another upload of the same file may go on.
  std::chrono::milliseconds transfer_idle_max{60000};
  std::vector<std::string> owners;  // EIP-55; who may create subnets. Empty: everybody.
  // Authorities (host:port) by which nodes reach the registry; as those of a gateway.
  std::vector<std::string> names;
  // PEM files; empty: without TLS.
  std::filesystem::path certificate_file;
  std::filesystem::path key_file;
};

// A registry good enough to run a real network on one machine: P2PRegistryService on one port and
// the files over HTTP on another; what it knows is in SQLite and survives it. Thread-safe.
class ReferenceRegistry {
 public:
  // Listens and serves until destroyed. Unavailable when an address cannot be had,
  // FailedPrecondition when another registry has the folder.
  static absl::StatusOr<std::unique_ptr<ReferenceRegistry>> Start(
      const RegistryOptions& options, const base::Clock& clock = base::Clock::System());
  // Ends every call.
  ~ReferenceRegistry();

  int port() const;
  // http://host:port, as nodes write it.
  std::string address() const;
  // Of the files, without a path; empty when they are not served over HTTP.
  std::string http_address() const;

 private:
  class Parts;
  explicit ReferenceRegistry(std::unique_ptr<Parts> parts);

  const std::unique_ptr<Parts> parts_;
};

}  // namespace ncn::reference
