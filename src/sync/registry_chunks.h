#pragma once

#include <memory>
#include <string>
#include <vector>

#include "registry/registry_client.h"
#include "transfer/chunk_source.h"

namespace ncn::sync {

// Sources grpc://HOST:PORT/SHA256: files that a registry holds, in chunks. Only the registries that
// the operator named are asked, whatever address the metadata gives. Thread-safe.
class RegistryChunks : public transfer::ChunkSource {
 public:
  // `registries` outlive this.
  explicit RegistryChunks(const std::vector<std::unique_ptr<registry::RegistryClient>>& registries)
      : registries_(registries) {}

  absl::Status Read(const std::string& source, std::uint64_t offset, std::uint64_t length,
                    const transfer::ByteSink& sink, std::stop_token stop) override;

 private:
  const std::vector<std::unique_ptr<registry::RegistryClient>>& registries_;
};

}  // namespace ncn::sync
