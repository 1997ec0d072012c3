#include "models/store_folders.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/strings.h"
#include "models/manifest.h"
#include "models/model_format.h"

namespace ncn::models {
namespace {

std::filesystem::path Absolute(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::path absolute = std::filesystem::absolute(path, error);
  if (error) return path;
  absolute = absolute.lexically_normal();
  return absolute.has_filename() ? absolute : absolute.parent_path();
}

// Whether a folder is a model: with a manifest or a model file in it. One that cannot be read is
// taken for one, so that somebody hears of it.
bool IsModelFolder(const FolderFd& store, const std::string& name) {
  // Most have one, and asking for it costs a tenth of listing.
  if (store.Look(base::StrCat(name, "/", kManifestFileName)).ok()) return true;
  const absl::StatusOr<FolderFd> folder = store.OpenFolder(name);
  if (!folder.ok()) return !absl::IsNotFound(folder.status());
  const absl::StatusOr<std::vector<std::string>> names = folder->Names();
  return !names.ok() || std::any_of(names->begin(), names->end(), [](const std::string& file) {
    return file == kManifestFileName || !ModelNameOf(file).empty();
  });
}

}  // namespace

StoreFolders::StoreFolders(std::vector<std::filesystem::path> paths) : paths_(std::move(paths)) {
  for (const std::filesystem::path& path : paths_) absolute_.push_back(Absolute(path));
}

std::map<std::size_t, FolderFd> StoreFolders::Open(
    std::map<std::size_t, absl::Status>& problems) const {
  std::map<std::size_t, FolderFd> opened;
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    absl::StatusOr<FolderFd> folder = FolderFd::Open(absolute_[i]);
    const auto identity =
        folder.ok() ? folder->Identity() : absl::StatusOr<FileIdentity>(folder.status());
    if (!identity.ok()) {
      problems.emplace(i, identity.status());
    } else if (seen.emplace(identity->device, identity->inode).second) {
      opened.emplace(i, *std::move(folder));
    }
  }
  return opened;
}

std::string StoreFolders::NameOf(std::size_t index, const FolderFd& folder,
                                 const Entry& entry) const {
  if (entry.name.starts_with('.')) return "";
  if (entry.kind == EntryKind::kFolder) {
    // A folder of models within another is no model.
    const auto own = std::find(absolute_.begin(), absolute_.end(), absolute_[index] / entry.name);
    return own == absolute_.end() && IsModelFolder(folder, entry.name) ? entry.name : "";
  }
  const std::string_view name = ModelNameOf(entry.name);
  // A link may be meant for a folder. None is followed, but the operator shall hear of it.
  return std::string(name.empty() && entry.kind == EntryKind::kSymlink ? entry.name : name);
}

std::set<EntryPlace> StoreFolders::EntriesOf(const std::map<std::size_t, FolderFd>& opened,
                                             const inference::ModelId& id) const {
  std::vector<std::string> names = {id.value()};
  for (const std::string_view extension : kModelFileExtensions) {
    names.push_back(base::StrCat(id.value(), extension));
    names.push_back(base::StrCat(id.value(), "_model", extension));
  }
  std::set<EntryPlace> entries;
  for (const auto& [index, folder] : opened) {
    for (const std::string& name : names) {
      const absl::StatusOr<Entry> entry = folder.Look(name);
      if (entry.ok() && NameOf(index, folder, *entry) == id.value()) entries.insert({index, name});
    }
  }
  return entries;
}

}  // namespace ncn::models
