#include "sync/model_tree.h"

#include <fcntl.h>
#include <unistd.h>

#include <set>
#include <system_error>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "sync/content.h"
#include "transfer/disk.h"

namespace ncn::sync {
namespace {

namespace fs = std::filesystem;

constexpr char kArchives[] = ".archives";
constexpr char kCopy[] = ".copy";

absl::Status Failed(const std::error_code& error, std::string_view what, const fs::path& path) {
  return base::ErrnoStatus(error.value(), base::StrCat(what, " ", path.native()));
}

absl::Status MakeFolder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  return error ? Failed(error, "cannot make the folder", path) : absl::OkStatus();
}

absl::StatusOr<base::UniqueFd> OpenFolder(const fs::path& path) {
  base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return base::ErrnoStatus(errno, base::StrCat("cannot open ", path.native()));
  return fd;
}

absl::StatusOr<models::FileIdentity> Identity(const fs::path& path) {
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) return base::ErrnoStatus(errno, base::StrCat("cannot open ", path.native()));
  return models::IdentityOf(fd.get(), path.native());
}

absl::Status SyncFolders(const fs::path& root) {
  std::vector<fs::path> folders = {root};
  std::error_code error;
  for (fs::recursive_directory_iterator it(root, error), end; !error && it != end;
       it.increment(error)) {
    if (fs::is_directory(it->symlink_status(error))) folders.push_back(it->path());
  }
  if (error) return Failed(error, "cannot read", root);
  for (const fs::path& folder : folders) {
    ASSIGN_OR_RETURN(const base::UniqueFd fd, OpenFolder(folder));
    if (::fsync(fd.get()) != 0) {
      return base::ErrnoStatus(errno, base::StrCat("cannot write ", folder.native(), " to disk"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

ModelTree::ModelTree(const fs::path& staging, const inference::SubnetModel& model)
    : model_(model),
      workshop_(staging / base::StrCat("tree-", ContentId(model))),
      made_(workshop_ / EntryName(model)),
      is_folder_(EntryName(model) == model.model.value()) {}

fs::path ModelTree::Target(const inference::SubnetFile& file) const {
  if (file.unpack) return workshop_ / kArchives / file.sha256;
  return is_folder_ ? made_ / file.path : made_;
}

// The downloader looks at its hash, and fetches it if it is another after all.
absl::Status ModelTree::TakeOver(const inference::SubnetFile& file, const fs::path& old,
                                 std::uint64_t reserve_bytes, const std::stop_token& stop) const {
  const fs::path target = Target(file);
  const fs::path before = is_folder_ ? old / file.path : old;
  std::error_code error;
  if (old.empty() || file.unpack || fs::exists(target, error)) return absl::OkStatus();
  const base::UniqueFd fd(::open(before.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  const auto found = fd.valid() ? models::IdentityOf(fd.get(), before.native())
                                : absl::NotFoundError(before.native());
  if (!found.ok() || found->size_bytes != file.size_bytes) return absl::OkStatus();
  RETURN_IF_ERROR(transfer::CheckFreeSpace(fd.get(), file.size_bytes, reserve_bytes));
  const absl::Status copied = transfer::CopyToTarget(fd.get(), workshop_ / kCopy, target, stop);
  const bool ends = absl::IsResourceExhausted(copied) || absl::IsCancelled(copied);
  return ends ? copied : absl::OkStatus();
}

absl::Status ModelTree::Prepare(const fs::path& old, std::uint64_t reserve_bytes,
                                const std::stop_token& stop) {
  RETURN_IF_ERROR(MakeFolder(workshop_ / kArchives));
  if (is_folder_) RETURN_IF_ERROR(MakeFolder(made_));
  std::set<fs::path> fetched;
  for (const inference::SubnetFile& file : model_.files) {
    const fs::path target = Target(file);
    RETURN_IF_ERROR(MakeFolder(target.parent_path()));
    fetched.insert(target);
    RETURN_IF_ERROR(TakeOver(file, old, reserve_bytes, stop));
  }
  std::vector<fs::path> leftovers;
  std::error_code error;
  for (fs::recursive_directory_iterator it(workshop_, error), end; !error && it != end;
       it.increment(error)) {
    if (!fs::is_directory(it->symlink_status(error)) && !fetched.contains(it->path())) {
      leftovers.push_back(it->path());
    }
  }
  for (const fs::path& leftover : leftovers) fs::remove(leftover, error);
  return error ? Failed(error, "cannot clear", workshop_) : absl::OkStatus();
}

std::vector<transfer::FileToFetch> ModelTree::Files() const {
  std::vector<transfer::FileToFetch> files;
  for (const inference::SubnetFile& file : model_.files) {
    files.push_back({.name = base::StrCat(model_.model.value(), "/", file.path),
                     .size_bytes = file.size_bytes,
                     .sha256 = file.sha256,
                     .sources = file.sources,
                     .target = Target(file)});
  }
  return files;
}

absl::Status ModelTree::Assemble(const transfer::UnpackLimits& limits, std::stop_token stop) {
  for (const inference::SubnetFile& file : model_.files) {
    if (!file.unpack) continue;
    const fs::path archive = Target(file);
    const base::UniqueFd fd(::open(archive.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid())
      return base::ErrnoStatus(errno, base::StrCat("cannot open ", archive.native()));
    ASSIGN_OR_RETURN(const base::UniqueFd folder, OpenFolder((made_ / file.path).parent_path()));
    const auto unpacked = transfer::Unpack(fd.get(), folder.get(), limits, stop);
    if (!unpacked.ok()) {
      return absl::Status(unpacked.status().code(),
                          base::StrCat(file.path, ": ", std::string(unpacked.status().message())));
    }
  }
  std::error_code error;
  const std::string& script = model_.executor_script;
  if (!script.empty()) {
    if (!fs::is_regular_file(fs::symlink_status(made_ / script, error))) {
      return absl::InvalidArgumentError(
          base::StrCat("executor_script ", script,
                       " is not among the model's files; its publisher must add it"));
    }
    const fs::path manifest = made_ / models::kManifestFileName;
    if (!fs::exists(fs::symlink_status(manifest, error))) {
      RETURN_IF_ERROR(base::WriteFileAtomically(manifest, ManifestText(model_), 0644));
    }
  }
  return is_folder_ ? SyncFolders(made_) : absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const models::Model>> ModelTree::Check(Origin origin) {
  models::ModelStore store(workshop_);
  // Nobody else writes here.
  for (const inference::SubnetFile& file : model_.files) {
    if (file.unpack || origin == Origin::kRevived) continue;
    ASSIGN_OR_RETURN(const models::FileIdentity identity, Identity(Target(file)));
    store.Learn(identity, file.sha256);
  }
  ASSIGN_OR_RETURN(std::shared_ptr<const models::Model> model, store.Find(model_.model));
  for (const models::TreeFile& file : *model->files) checked_[file.path] = file.identity;
  if (models::Name(model->format) != model_.format) {
    return absl::InvalidArgumentError(base::StrCat("format: the subnet says ", model_.format,
                                                   ", the file is ",
                                                   models::Description(model->format)));
  }
  if (!model_.executor_script.empty() &&
      model->manifest.executor_script != model_.executor_script) {
    return absl::InvalidArgumentError(base::StrCat(
        "executor_script: the subnet says ", model_.executor_script, ", the manifest ",
        model->manifest.executor_script.empty() ? "none" : model->manifest.executor_script));
  }
  return model;
}

void ModelTree::Teach(models::ModelStore& store, const fs::path& installed) const {
  for (const inference::SubnetFile& file : model_.files) {
    if (file.unpack) continue;
    const auto checked = checked_.find(file.path);
    if (checked == checked_.end()) continue;
    const auto now = Identity(is_folder_ ? installed / file.path : installed);
    // Moving a file changes its ctime.
    if (!now.ok() || now->inode != checked->second.inode ||
        now->size_bytes != checked->second.size_bytes ||
        now->mtime_ns != checked->second.mtime_ns) {
      continue;
    }
    store.Learn(*now, file.sha256);
  }
}

void ModelTree::Clear() const {
  std::error_code ignored;
  fs::remove_all(workshop_, ignored);
}

absl::StatusOr<bool> HasContentOf(const fs::path& place, const inference::SubnetModel& model) {
  std::error_code error;
  const bool is_folder = fs::is_directory(fs::symlink_status(place, error));
  if (is_folder != (EntryName(model) == model.model.value())) return false;
  if (is_folder) {
    std::size_t files = 0;
    for (fs::recursive_directory_iterator it(place, error), end; !error && it != end;
         it.increment(error)) {
      files += fs::is_directory(it->symlink_status(error)) ? 0 : 1;
    }
    if (error || files != model.files.size()) return false;
  }
  for (const inference::SubnetFile& file : model.files) {
    if (file.unpack) return false;
    const fs::path path = is_folder ? place / file.path : place;
    const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!fd.valid() || !fs::is_regular_file(path, error) ||
        fs::file_size(path, error) != file.size_bytes) {
      return false;
    }
    ASSIGN_OR_RETURN(const base::Digest digest, base::Sha256OfFile(fd.get()));
    if (base::AsHex(digest) != file.sha256) return false;
  }
  return true;
}

}  // namespace ncn::sync
