#include "models/model_loader.h"

#include <algorithm>
#include <utility>

#include "base/files.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::models {
namespace {

// The same error, of a file in a model's folder.
absl::Status Within(std::string_view folder, const absl::Status& status) {
  return absl::Status(status.code(), base::StrCat(folder, "/", status.message()));
}

const TreeFile* Find(const std::vector<TreeFile>& tree, std::string_view path) {
  const auto found =
      std::find_if(tree.begin(), tree.end(), [&](const TreeFile& f) { return f.path == path; });
  return found == tree.end() ? nullptr : &*found;
}

absl::StatusOr<Manifest> ReadManifest(const FolderFd& folder, const std::vector<TreeFile>& tree,
                                      const inference::ModelId& id) {
  const TreeFile* listed = Find(tree, kManifestFileName);
  if (listed == nullptr) return Manifest();
  ASSIGN_OR_RETURN(const FolderFd::File file, folder.OpenListed(*listed));
  const absl::StatusOr<std::string> text = base::ReadAll(file.fd.get(), kManifestBytesMax);
  if (!text.ok()) {
    return absl::InvalidArgumentError(
        base::StrCat(kManifestFileName, ": ", text.status().message()));
  }
  ASSIGN_OR_RETURN(Manifest manifest, ParseManifest(*text));
  if (!manifest.name.empty() && manifest.name != id.value()) {
    return absl::InvalidArgumentError(base::StrCat(kManifestFileName, ": model.name is '",
                                                   manifest.name, "', but the folder is named '",
                                                   id.value(), "'; make them agree"));
  }
  for (const auto& [key, name] : {std::pair("model.file", &manifest.file),
                                  std::pair("executor.script", &manifest.executor_script),
                                  std::pair("warm_up.input", &manifest.warm_up_input)}) {
    if (!name->empty() && Find(tree, *name) == nullptr) {
      return absl::InvalidArgumentError(base::StrCat(kManifestFileName, ": ", key, " is '", *name,
                                                     "', but there is no such file beside it"));
    }
  }
  return manifest;
}

// The file that is the model: the manifest's, or the only one that can be.
absl::StatusOr<const TreeFile*> ChooseFile(const std::vector<TreeFile>& tree,
                                           const Manifest& manifest) {
  if (!manifest.file.empty()) return Find(tree, manifest.file);
  const TreeFile* chosen = nullptr;
  for (const TreeFile& file : tree) {
    if (file.path.find('/') != std::string::npos || ModelNameOf(file.path).empty()) continue;
    if (chosen != nullptr) {
      return absl::FailedPreconditionError(
          base::StrCat(kManifestFileName, ": must say whether the model is ", chosen->path, " or ",
                       file.path, "; set model.file"));
    }
    chosen = &file;
  }
  if (chosen != nullptr) return chosen;
  return absl::InvalidArgumentError(
      base::StrCat(kManifestFileName,
                   ": has no model beside it; add a .pt, .pth, .onnx or .safetensors file, or set "
                   "model.file"));
}

absl::Status CheckFormat(const Manifest& manifest, const std::string& file, ModelFormat found) {
  if (!manifest.format || *manifest.format == found) return absl::OkStatus();
  return absl::InvalidArgumentError(
      base::StrCat(kManifestFileName, ": says that ", file, " is ", Description(*manifest.format),
                   ", but its content is ", Description(found), "; correct model.format (\"",
                   Name(found), "\") or replace the file"));
}

absl::Status CheckHashes(const Manifest& manifest,
                         const std::map<std::string, std::string>& found) {
  for (const auto& [path, wanted] : manifest.hashes) {
    const auto hash = found.find(path);
    if (hash == found.end()) {
      return absl::DataLossError(base::StrCat(path, ": is missing, but ", kManifestFileName,
                                              " states its hash; fetch it"));
    }
    if (hash->second != wanted) {
      return absl::DataLossError(base::StrCat(path, ": has the SHA-256 ", hash->second, ", but ",
                                              kManifestFileName, " states ", wanted,
                                              "; the file was changed or is incomplete: fetch it "
                                              "again"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Model> LoadListed(const FolderFd& folder, const Place& place,
                                 const std::vector<TreeFile>& tree, FileIndex& index) {
  ASSIGN_OR_RETURN(Manifest manifest, ReadManifest(folder, tree, place.id));
  ASSIGN_OR_RETURN(const TreeFile* chosen, ChooseFile(tree, manifest));
  ASSIGN_OR_RETURN(const ModelFormat format, index.Format(folder, *chosen));
  RETURN_IF_ERROR(CheckFormat(manifest, chosen->path, format));

  // The tree's hash is that of the text which sha256sum prints of its files, sorted by path.
  base::Sha256Hasher tree_hasher;
  std::uint64_t tree_size_bytes = 0;
  std::map<std::string, std::string> found;
  for (const TreeFile& listed : tree) {
    ASSIGN_OR_RETURN(std::string hash, index.Sha256(folder, listed));
    tree_hasher.Update(hash).Update("  ").Update(listed.path).Update("\n");
    tree_size_bytes += listed.identity.size_bytes;
    found.emplace(listed.path, std::move(hash));
  }
  RETURN_IF_ERROR(CheckHashes(manifest, found));
  return Model{.id = place.id,
               .is_folder = true,
               .root = place.root,
               .file = place.root / chosen->path,
               .relative_file = chosen->path,
               .format = format,
               .manifest = std::move(manifest),
               .sha256 = found[chosen->path],
               .tree_sha256 = base::AsHex(tree_hasher.Finish()),
               .size_bytes = chosen->identity.size_bytes,
               .tree_size_bytes = tree_size_bytes,
               .identity = chosen->identity,
               .files = std::make_shared<const std::vector<TreeFile>>(tree),
               .lease = {}};
}

}  // namespace

absl::StatusOr<Model> LoadFile(const FolderFd& store, const Place& place,
                               const std::vector<TreeFile>& tree, FileIndex& index) {
  const TreeFile& file = tree.front();
  ASSIGN_OR_RETURN(const ModelFormat format, index.Format(store, file));
  ASSIGN_OR_RETURN(std::string hash, index.Sha256(store, file));
  return Model{.id = place.id,
               .root = place.root,
               .file = place.root,
               .relative_file = place.entry,
               .format = format,
               .sha256 = hash,
               .tree_sha256 = hash,
               .size_bytes = file.identity.size_bytes,
               .tree_size_bytes = file.identity.size_bytes,
               .identity = file.identity,
               .files = std::make_shared<const std::vector<TreeFile>>(tree),
               .lease = {}};
}

absl::StatusOr<Model> LoadFolder(const FolderFd& store, const Place& place,
                                 const std::vector<TreeFile>& tree, FileIndex& index) {
  ASSIGN_OR_RETURN(const FolderFd folder, store.OpenFolder(place.entry));
  absl::StatusOr<Model> model = LoadListed(folder, place, tree, index);
  if (model.ok()) return model;
  return Within(place.entry, model.status());
}

}  // namespace ncn::models
