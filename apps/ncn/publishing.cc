#include "apps/ncn/publishing.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/errno_status.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "models/model_store.h"
#include "signing/subnet_signature.h"

namespace ncn::apps {
namespace fs = std::filesystem;
namespace {

constexpr int kTriesMax = 8;
constexpr std::chrono::seconds kUploadLife{12 * 3600};
constexpr std::chrono::seconds kPause{1};  // While somebody else uploads the same file.
constexpr int kUploadTriesMax = 60;

bool IsArchive(const std::string& name) {
  return name.ends_with(".tar.gz") || name.ends_with(".tgz") || name.ends_with(".zip");
}

// "digits" of "digits.tar.gz".
std::string StemOf(const std::string& name) {
  for (const std::string_view end : {".tar.gz", ".tgz", ".zip"}) {
    if (name.ends_with(end)) return name.substr(0, name.size() - end.size());
  }
  return name;
}

absl::StatusOr<base::UniqueFd> OpenRegular(const fs::path& path, std::uint64_t* size_bytes) {
  base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status {};
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0) {
    return base::ErrnoStatus(errno, base::StrCat("cannot open ", path.native()));
  }
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(
        base::StrCat(path.native(), " is no regular file; only those can be published"));
  }
  *size_bytes = static_cast<std::uint64_t>(status.st_size);
  return fd;
}

absl::StatusOr<LocalFile> Hashed(const fs::path& path, const std::string& relative) {
  LocalFile local{.path = path, .file = {.path = relative}};
  ASSIGN_OR_RETURN(const base::UniqueFd fd, OpenRegular(path, &local.file.size_bytes));
  ASSIGN_OR_RETURN(const base::Digest digest, base::Sha256OfFile(fd.get()));
  local.file.sha256 = base::AsHex(digest);
  return local;
}

// The visible files below `folder`, as relative paths, the model's own first.
absl::StatusOr<std::vector<std::string>> FilesBelow(const fs::path& folder,
                                                    const std::string& first) {
  std::vector<std::string> paths;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (entry->path().filename().native().starts_with('.')) {
      entry.disable_recursion_pending();
      continue;
    }
    if (entry->is_symlink(error)) {
      return absl::InvalidArgumentError(base::StrCat(
          entry->path().native(), " is a symbolic link; put the file itself in its place"));
    }
    if (!entry->is_directory(error)) {
      paths.push_back(entry->path().lexically_relative(folder).native());
    }
  }
  if (error) {
    return absl::UnknownError(base::StrCat("cannot read ", folder.native(), ": ", error.message()));
  }
  std::sort(paths.begin(), paths.end(), [&](const std::string& a, const std::string& b) {
    return (a != first) != (b != first) ? a == first : a < b;
  });
  return paths;
}

absl::Status AddFile(const ModelToPublish& wanted, const fs::path& path,
                     const std::string& relative, bool in_folder, DescribedModel& described) {
  ASSIGN_OR_RETURN(LocalFile local, Hashed(path, relative));
  for (const std::string& source : wanted.sources) {
    local.file.sources.push_back(
        in_folder ? base::StrCat(source, source.ends_with('/') ? "" : "/", relative) : source);
  }
  described.model.files.push_back(local.file);
  described.files.push_back(std::move(local));
  return absl::OkStatus();
}

absl::StatusOr<DescribedModel> DescribeArchive(const ModelToPublish& wanted, const fs::path& path) {
  const std::string file_name = path.filename().native();
  ASSIGN_OR_RETURN(
      auto name, inference::ModelId::Parse(wanted.name.empty() ? StemOf(file_name) : wanted.name));
  if (wanted.format.empty()) {
    return absl::InvalidArgumentError(base::StrCat(
        "the format of a model inside an archive is not looked for; state it with --format"));
  }
  DescribedModel described{.model = {.model = std::move(name),
                                     .version = wanted.version.empty() ? "1" : wanted.version,
                                     .format = wanted.format,
                                     .executor_script = wanted.executor_script,
                                     .memory_bytes_min = wanted.memory_bytes_min}};
  RETURN_IF_ERROR(AddFile(wanted, path, file_name, false, described));
  described.model.files.front().unpack = true;
  return described;
}

absl::StatusOr<DescribedModel> DescribeModel(const ModelToPublish& wanted, const fs::path& path,
                                             bool is_folder) {
  const std::string file_name = path.filename().native();
  const std::string here = is_folder ? file_name : std::string(models::ModelNameOf(file_name));
  ASSIGN_OR_RETURN(const auto found_as, inference::ModelId::Parse(here));
  ASSIGN_OR_RETURN(auto name, inference::ModelId::Parse(wanted.name.empty() ? here : wanted.name));
  ASSIGN_OR_RETURN(const auto found, models::ModelStore(path.parent_path()).Find(found_as));
  if (!fs::equivalent(found->root, path)) {
    return absl::FailedPreconditionError(base::StrCat(path.native(),
                                                      " is not what a node would find as model ",
                                                      here, "; it is ", found->root.native()));
  }
  const models::Manifest& manifest = found->manifest;
  const auto either = [](const std::string& said, const std::string& otherwise) {
    return said.empty() ? otherwise : said;
  };
  DescribedModel described{
      .model = {.model = std::move(name),
                .version = either(either(wanted.version, manifest.version), "1"),
                .format = either(wanted.format, std::string(models::Name(found->format))),
                .executor_script = either(wanted.executor_script, manifest.executor_script),
                .memory_bytes_min = wanted.memory_bytes_min != 0
                                        ? wanted.memory_bytes_min
                                        : manifest.memory_bytes.value_or(0)}};
  std::vector<std::string> paths = {file_name};
  if (is_folder) {
    ASSIGN_OR_RETURN(paths, FilesBelow(path, found->relative_file));
  }
  for (const std::string& relative : paths) {
    RETURN_IF_ERROR(
        AddFile(wanted, is_folder ? path / relative : path, relative, is_folder, described));
  }
  return described;
}

// Registries add their own addresses to what they hold; in the metadata of others, or of a later
// version, they would be lies.
void DropRegistrySources(inference::Subnet& subnet) {
  for (inference::SubnetModel& model : subnet.models) {
    for (inference::SubnetFile& file : model.files) {
      std::erase_if(file.sources, [&](const std::string& source) {
        return source.ends_with("/" + file.sha256) &&
               (source.starts_with("grpc://") || source.ends_with("/files/" + file.sha256));
      });
    }
  }
}

}  // namespace

absl::StatusOr<DescribedModel> Describe(const ModelToPublish& wanted) {
  std::error_code error;
  const fs::path path = fs::canonical(wanted.path, error);
  if (error) {
    return absl::NotFoundError(base::StrCat(wanted.path.native(), ": ", error.message()));
  }
  const bool is_folder = fs::is_directory(path, error);
  ASSIGN_OR_RETURN(DescribedModel described, !is_folder && IsArchive(path.filename().native())
                                                 ? DescribeArchive(wanted, path)
                                                 : DescribeModel(wanted, path, is_folder));
  const inference::Subnet sample{.subnet_id = 1,
                                 .owner_address = "0x0000000000000000000000000000000000000000",
                                 .version = 1,
                                 .models = {described.model}};
  RETURN_IF_ERROR(inference::Validate(sample));
  return described;
}

absl::Status UploadFiles(registry::RegistryClient& registry, const signing::Wallet& owner,
                         std::uint32_t subnet_id, const DescribedModel& model,
                         const UploadProgress& on_progress, std::stop_token stop) {
  for (const LocalFile& local : model.files) {
    std::uint64_t size_bytes = 0;
    ASSIGN_OR_RETURN(const base::UniqueFd fd, OpenRegular(local.path, &size_bytes));
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(
        std::chrono::system_clock::now().time_since_epoch());
    signing::FileUpload upload{.subnet_id = subnet_id,
                               .sha256 = local.file.sha256,
                               .size_bytes = local.file.size_bytes,
                               .expires_seconds = (now + kUploadLife).count()};
    registry::UploadPermit permit{.subnet_id = subnet_id,
                                  .sha256 = upload.sha256,
                                  .size_bytes = upload.size_bytes,
                                  .expires_seconds = upload.expires_seconds};
    ASSIGN_OR_RETURN(permit.owner_signature, signing::SignFileUpload(owner, upload));
    const auto progress = [&](std::uint64_t held) {
      if (on_progress) on_progress(local, held);
    };
    absl::Status status = registry.Upload(fd.get(), permit, progress, stop);
    // Somebody else uploads it, or a connection that broke off is not given up there yet.
    for (int tries = 1; absl::IsAborted(status) && tries < kUploadTriesMax; ++tries) {
      std::this_thread::sleep_for(kPause);
      status = registry.Upload(fd.get(), permit, progress, stop);
    }
    if (!absl::IsAlreadyExists(status)) RETURN_IF_ERROR(status);
    progress(local.file.size_bytes);
  }
  return absl::OkStatus();
}

absl::StatusOr<inference::Subnet> CreateSubnet(registry::RegistryClient& registry,
                                               const signing::Wallet& owner,
                                               std::uint32_t subnet_id, const std::string& name) {
  inference::Subnet subnet{.subnet_id = subnet_id,
                           .name = name,
                           .owner_address = owner.address().ToString(),
                           .version = 1};
  RETURN_IF_ERROR(inference::Validate(subnet));
  ASSIGN_OR_RETURN(subnet.owner_signature, signing::SignSubnet(owner, subnet));
  return registry.CreateSubnet(subnet);
}

absl::StatusOr<inference::Subnet> ChangeSubnet(
    registry::RegistryClient& registry, const signing::Wallet& owner, std::uint32_t subnet_id,
    const std::function<absl::Status(inference::Subnet&)>& change) {
  absl::Status failed;
  for (int tries = 0; tries < kTriesMax; ++tries) {
    ASSIGN_OR_RETURN(inference::Subnet subnet, registry.GetSubnet(subnet_id));
    if (subnet.owner_address != owner.address().ToString()) {
      return absl::PermissionDeniedError(
          base::StrCat("subnet ", subnet_id, " belongs to ", subnet.owner_address,
                       ", but the wallet is that of ", owner.address().ToString(),
                       "; choose the owner's wallet, or another subnet"));
    }
    DropRegistrySources(subnet);
    RETURN_IF_ERROR(change(subnet));
    ++subnet.version;
    RETURN_IF_ERROR(inference::Validate(subnet));
    ASSIGN_OR_RETURN(subnet.owner_signature, signing::SignSubnet(owner, subnet));
    auto stored = registry.UpdateSubnet(subnet);
    if (!absl::IsAborted(stored.status())) return stored;
    failed = stored.status();
  }
  return failed;
}

absl::Status ReplaceModel(inference::Subnet& subnet, inference::SubnetModel model) {
  const auto found =
      std::find_if(subnet.models.begin(), subnet.models.end(),
                   [&](const inference::SubnetModel& other) { return other.model == model.model; });
  if (found == subnet.models.end()) {
    subnet.models.push_back(std::move(model));
  } else {
    *found = std::move(model);
  }
  return absl::OkStatus();
}

absl::Status RemoveModel(inference::Subnet& subnet, const std::string& name) {
  const auto removed = std::erase_if(subnet.models, [&](const inference::SubnetModel& model) {
    return model.model.value() == name;
  });
  if (removed > 0) return absl::OkStatus();
  return absl::NotFoundError(base::StrCat("subnet ", subnet.subnet_id, " has no model ", name));
}

}  // namespace ncn::apps
