#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "reference/file_depot.h"

namespace ncn::reference {

// Serves the files of a depot over HTTP: GET and HEAD of /files/<sha256>, whole or by ranges, with
// the hash as ETag. Nothing else is there. One thread for each connection, up to a number; who
// comes then waits. Whoever takes a file more slowly than `bytes_per_second_min`, or stands still,
// is dropped, so that no reader holds a thread for ever.
class FileServer {
 public:
  struct Options {
    std::string listen_address = "127.0.0.1:0";
    std::size_t connections_max = 128;
    std::chrono::seconds stall_max{10};
    std::uint64_t bytes_per_second_min = 16 << 10;
  };

  // The depot outlives the server. Unavailable when the address cannot be had.
  static absl::StatusOr<std::unique_ptr<FileServer>> Start(const Options& options,
                                                           FileDepot& depot);
  // Ends transfers within a moment; one that stands still within `stall_max`.
  ~FileServer();

  int port() const;
  // http://host:port
  std::string address() const;

 private:
  class Parts;
  explicit FileServer(std::unique_ptr<Parts> parts);

  const std::unique_ptr<Parts> parts_;
};

}  // namespace ncn::reference
