#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "inference/subnet.h"
#include "models/model_store.h"
#include "models/store_files.h"
#include "transfer/archive.h"
#include "transfer/downloader.h"

namespace ncn::sync {

// One version of a model in the making, in a folder of its own, which survives restarts: files that
// are complete are not fetched again. Steps in the order of the methods; not thread-safe.
class ModelTree {
 public:
  // `staging` exists; `model` is valid (inference::Validate) and outlives this.
  ModelTree(const std::filesystem::path& staging, const inference::SubnetModel& model);

  // The folder of all of it; a name that depends on the content alone.
  const std::filesystem::path& workshop() const { return workshop_; }
  // What becomes visible in the end.
  const std::filesystem::path& made() const { return made_; }

  // Makes the folders, clears away what an interrupted attempt unpacked, and takes over files of
  // the right name and size from `old`, the version before; empty: none. ResourceExhausted when the
  // disk has no room for that beside `reserve_bytes`.
  absl::Status Prepare(const std::filesystem::path& old, std::uint64_t reserve_bytes,
                       const std::stop_token& stop);
  // What is to be fetched, and where to.
  std::vector<transfer::FileToFetch> Files() const;
  // Unpacks archives, writes a manifest if the model needs one.
  absl::Status Assemble(const transfer::UnpackLimits& limits, std::stop_token stop);
  // Whether it is a model as the subnet says; all of it is on disk then. What was just `kFetched`
  // is not read again, for the downloader has; of what was `kRevived` every file is.
  enum class Origin { kFetched, kRevived };
  absl::StatusOr<std::shared_ptr<const models::Model>> Check(Origin origin);
  // Tells `store` the hashes of the files as they lie at `installed` now, so that it need not read
  // them again; not of those that changed since Check. Of what was revived only when the hash of
  // the whole is what it was.
  void Teach(models::ModelStore& store, const std::filesystem::path& installed) const;
  // Deletes what is left of the workshop.
  void Clear() const;

 private:
  std::filesystem::path Target(const inference::SubnetFile& file) const;
  absl::Status TakeOver(const inference::SubnetFile& file, const std::filesystem::path& old,
                        std::uint64_t reserve_bytes, const std::stop_token& stop) const;

  const inference::SubnetModel& model_;
  const std::filesystem::path workshop_;
  const std::filesystem::path made_;
  const bool is_folder_;
  std::map<std::string, models::FileIdentity> checked_;  // By path in the subnet's metadata.
};

// Whether the files at `place` are those of `model`: all of them, with the right hashes. False for
// a model with archives, which leave no trace of their hash.
absl::StatusOr<bool> HasContentOf(const std::filesystem::path& place,
                                  const inference::SubnetModel& model);

}  // namespace ncn::sync
