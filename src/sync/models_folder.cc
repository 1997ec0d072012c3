#include "sync/models_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <system_error>
#include <utility>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "models/model_store.h"

namespace ncn::sync {
namespace {

namespace fs = std::filesystem;

constexpr char kSchema[] = R"(
CREATE TABLE model (
  name TEXT PRIMARY KEY, subnet INTEGER NOT NULL, version TEXT NOT NULL, content TEXT NOT NULL,
  entry TEXT NOT NULL, tree TEXT NOT NULL, bytes INTEGER NOT NULL, since INTEGER NOT NULL,
  settled INTEGER NOT NULL
) STRICT;
CREATE TABLE retired (
  place TEXT PRIMARY KEY, name TEXT NOT NULL, subnet INTEGER NOT NULL, version TEXT NOT NULL,
  content TEXT NOT NULL, entry TEXT NOT NULL, tree TEXT NOT NULL, bytes INTEGER NOT NULL,
  since INTEGER NOT NULL, retired INTEGER NOT NULL
) STRICT;
CREATE TABLE accepted (
  subnet INTEGER PRIMARY KEY, owner TEXT NOT NULL, version INTEGER NOT NULL,
  signed INTEGER NOT NULL, digest TEXT NOT NULL
) STRICT;
)";

std::int64_t Now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

absl::Status MakeFolder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return base::ErrnoStatus(error.value(), base::StrCat("cannot make the folder ", path.native()));
}

// Columns from `first` on, in the order of the tables.
InstalledModel ReadModel(const base::Statement& row, int first) {
  return {.model = row.Text(first),
          .subnet_id = static_cast<std::uint32_t>(row.Int(first + 1)),
          .version = row.Text(first + 2),
          .content_id = row.Text(first + 3),
          .entry = row.Text(first + 4),
          .tree_sha256 = row.Text(first + 5),
          .size_bytes = static_cast<std::uint64_t>(row.Int(first + 6)),
          .since_seconds = row.Int(first + 7)};
}

void BindModel(base::Statement& statement, int first, const InstalledModel& model) {
  statement.Bind(first, model.model)
      .Bind(first + 1, std::int64_t{model.subnet_id})
      .Bind(first + 2, model.version)
      .Bind(first + 3, model.content_id)
      .Bind(first + 4, model.entry)
      .Bind(first + 5, model.tree_sha256)
      .Bind(first + 6, static_cast<std::int64_t>(model.size_bytes))
      .Bind(first + 7, model.since_seconds);
}

absl::Status Rename(const fs::path& from, const fs::path& to, unsigned flags) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags) == 0) {
    return absl::OkStatus();
  }
  return base::ErrnoStatus(errno, base::StrCat("cannot move ", from.native(), " to ", to.native()));
}

bool Exists(const fs::path& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() != fs::file_type::not_found && !error;
}

absl::Status SyncFolder(const fs::path& folder) {
  const base::UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.valid() && ::fsync(fd.get()) == 0) return absl::OkStatus();
  return base::ErrnoStatus(errno, base::StrCat("cannot write ", folder.native(), " to disk"));
}

absl::StatusOr<base::UniqueFd> Lock(const fs::path& path) {
  base::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return base::ErrnoStatus(errno, base::StrCat("cannot open ", path.native()));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    const auto holder = base::ReadFile(path, 32);
    return absl::UnavailableError(base::StrCat(
        "another process", holder.ok() && !holder->empty() ? " (pid " + *holder + ")" : "",
        " synchronises ", path.parent_path().parent_path().native(),
        "; its models appear here by themselves, or end that process and try again"));
  }
  const std::string pid = base::StrCat(::getpid());
  if (::ftruncate(fd.get(), 0) != 0 || !base::WriteAll(fd.get(), pid).ok()) {
    return base::ErrnoStatus(errno, base::StrCat("cannot write ", path.native()));
  }
  return fd;
}

absl::StatusOr<std::vector<InstalledModel>> RowsOf(base::Database& database, bool settled) {
  ASSIGN_OR_RETURN(base::Statement rows,
                   database.Prepare("SELECT name, subnet, version, content, entry, tree, bytes, "
                                    "since FROM model WHERE settled = ? ORDER BY name"));
  rows.Bind(1, std::int64_t{settled});
  std::vector<InstalledModel> models;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return models;
    models.push_back(ReadModel(rows, 0));
  }
}

}  // namespace

absl::StatusOr<std::vector<InstalledModel>> ReadInstalled(const fs::path& folder) {
  const fs::path path = folder / ".ncn" / "sync.sqlite";
  if (!Exists(path)) return std::vector<InstalledModel>();
  ASSIGN_OR_RETURN(base::Database database, base::Database::Open(path, kSchema));
  return RowsOf(database, true);
}

std::uint64_t SizeOnDisk(const fs::path& path) {
  std::error_code error;
  if (fs::is_regular_file(fs::symlink_status(path, error))) return fs::file_size(path, error);
  std::uint64_t bytes = 0;
  for (fs::recursive_directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    if (fs::is_regular_file(it->symlink_status(error))) bytes += it->file_size(error);
  }
  return bytes;
}

ModelsFolder::ModelsFolder(fs::path path, base::UniqueFd lock, base::Database database)
    : path_(std::move(path)), lock_(std::move(lock)), database_(std::move(database)) {}

absl::StatusOr<std::unique_ptr<ModelsFolder>> ModelsFolder::Open(const fs::path& folder) {
  std::error_code error;
  const fs::path path = fs::absolute(folder, error).lexically_normal();
  const fs::path own = path / ".ncn";
  RETURN_IF_ERROR(MakeFolder(own / "staging"));
  RETURN_IF_ERROR(MakeFolder(own / "retired"));
  ASSIGN_OR_RETURN(base::UniqueFd lock, Lock(own / "lock"));
  ASSIGN_OR_RETURN(base::Database database, base::Database::Open(own / "sync.sqlite", kSchema));
  std::unique_ptr<ModelsFolder> opened(
      new ModelsFolder(path, std::move(lock), std::move(database)));
  RETURN_IF_ERROR(opened->Recover());
  return opened;
}

// Whoever was being put in place when the process ended is there, or its predecessor is.
absl::Status ModelsFolder::Recover() {
  const models::ModelStore store(path_);
  ASSIGN_OR_RETURN(const std::vector<InstalledModel> unsettled, Rows(false));
  for (const InstalledModel& model : unsettled) {
    const auto id = inference::ModelId::Parse(model.model);
    const auto found = id.ok() ? store.Find(*id) : id.status();
    if (found.ok() && (*found)->tree_sha256 == model.tree_sha256) {
      RETURN_IF_ERROR(Put(model, true));
    } else {
      RETURN_IF_ERROR(Remove(model.model));
    }
  }
  ASSIGN_OR_RETURN(const std::vector<RetiredModel> retired, Retired());
  for (const RetiredModel& one : retired) {
    if (Exists(one.place)) continue;
    ASSIGN_OR_RETURN(base::Statement statement,
                     database_.Prepare("DELETE FROM retired WHERE place = ?"));
    RETURN_IF_ERROR(statement.Bind(1, one.place.filename().native()).Run());
    // It never left its place.
    ASSIGN_OR_RETURN(const auto successor, Find(one.was.model));
    if (!successor && Exists(path_ / one.was.entry)) RETURN_IF_ERROR(Put(one.was, true));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<InstalledModel>> ModelsFolder::Rows(bool settled) const {
  return RowsOf(database_, settled);
}

absl::StatusOr<std::vector<InstalledModel>> ModelsFolder::Installed() const {
  std::lock_guard lock(mutex_);
  return Rows(true);
}

absl::StatusOr<std::optional<InstalledModel>> ModelsFolder::Find(const std::string& model) const {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(base::Statement rows,
                   database_.Prepare("SELECT name, subnet, version, content, entry, tree, bytes, "
                                     "since FROM model WHERE name = ? AND settled = 1"));
  rows.Bind(1, model);
  ASSIGN_OR_RETURN(const bool found, rows.Step());
  if (!found) return std::optional<InstalledModel>();
  return std::optional<InstalledModel>(ReadModel(rows, 0));
}

absl::StatusOr<std::vector<RetiredModel>> ModelsFolder::Retired() const {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(base::Statement rows,
                   database_.Prepare("SELECT place, name, subnet, version, content, entry, tree, "
                                     "bytes, since, retired FROM retired ORDER BY retired, place"));
  std::vector<RetiredModel> models;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return models;
    models.push_back({.was = ReadModel(rows, 1),
                      .place = path_ / ".ncn" / "retired" / rows.Text(0),
                      .retired_seconds = rows.Int(9)});
  }
}

absl::Status ModelsFolder::Put(const InstalledModel& model, bool settled) {
  ASSIGN_OR_RETURN(base::Statement statement,
                   database_.Prepare("INSERT OR REPLACE INTO model (name, subnet, version, "
                                     "content, entry, tree, bytes, since, settled) "
                                     "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  BindModel(statement, 1, model);
  return statement.Bind(9, std::int64_t{settled}).Run();
}

absl::Status ModelsFolder::Remove(const std::string& model) {
  ASSIGN_OR_RETURN(base::Statement statement,
                   database_.Prepare("DELETE FROM model WHERE name = ?"));
  return statement.Bind(1, model).Run();
}

absl::Status ModelsFolder::NoteRetired(const RetiredModel& retired) {
  ASSIGN_OR_RETURN(base::Statement statement,
                   database_.Prepare("INSERT INTO retired (place, name, subnet, version, content, "
                                     "entry, tree, bytes, since, retired) "
                                     "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  statement.Bind(1, retired.place.filename().native());
  BindModel(statement, 2, retired.was);
  return statement.Bind(10, retired.retired_seconds).Run();
}

fs::path ModelsFolder::NewRetiredPlace(const InstalledModel& model) const {
  const fs::path folder = path_ / ".ncn" / "retired";
  const std::string name = base::StrCat(model.model.substr(0, 64), "@", Now());
  fs::path place = folder / name;
  for (int n = 1; Exists(place); ++n) place = folder / base::StrCat(name, "-", n);
  return place;
}

absl::Status ModelsFolder::Sync() const {
  RETURN_IF_ERROR(SyncFolder(path_ / ".ncn" / "retired"));
  return SyncFolder(path_);
}

absl::Status ModelsFolder::Install(const fs::path& made, InstalledModel model) {
  ASSIGN_OR_RETURN(const std::optional<InstalledModel> before, Find(model.model));
  std::lock_guard lock(mutex_);
  const fs::path place = path_ / model.entry;
  const bool replaces = before && Exists(path_ / before->entry);
  if (Exists(place) && !(replaces && before->entry == model.entry)) {
    return absl::AlreadyExistsError(
        base::StrCat(place.native(), " is in the way and was not synchronised; move it away"));
  }
  model.since_seconds = Now();
  std::optional<RetiredModel> retired;
  {
    ASSIGN_OR_RETURN(base::Transaction transaction, base::Transaction::Begin(database_));
    if (replaces) {
      retired = {.was = *before, .place = NewRetiredPlace(*before), .retired_seconds = Now()};
      RETURN_IF_ERROR(NoteRetired(*retired));
    }
    RETURN_IF_ERROR(Put(model, false));
    RETURN_IF_ERROR(transaction.Commit());
  }
  if (replaces && before->entry == model.entry) {
    RETURN_IF_ERROR(Rename(made, place, RENAME_EXCHANGE));
    RETURN_IF_ERROR(Rename(made, retired->place, RENAME_NOREPLACE));
  } else {
    if (replaces) RETURN_IF_ERROR(Rename(path_ / before->entry, retired->place, RENAME_NOREPLACE));
    RETURN_IF_ERROR(Rename(made, place, RENAME_NOREPLACE));
  }
  RETURN_IF_ERROR(Sync());
  return Put(model, true);
}

absl::Status ModelsFolder::Adopt(InstalledModel model) {
  std::lock_guard lock(mutex_);
  if (model.since_seconds == 0) model.since_seconds = Now();
  return Put(model, true);
}

absl::Status ModelsFolder::Retire(const std::string& model) {
  ASSIGN_OR_RETURN(const std::optional<InstalledModel> was, Find(model));
  if (!was) return absl::NotFoundError(base::StrCat("model ", model, " was not synchronised"));
  std::lock_guard lock(mutex_);
  if (!Exists(path_ / was->entry)) return Remove(model);
  const RetiredModel retired{.was = *was, .place = NewRetiredPlace(*was), .retired_seconds = Now()};
  {
    ASSIGN_OR_RETURN(base::Transaction transaction, base::Transaction::Begin(database_));
    RETURN_IF_ERROR(NoteRetired(retired));
    RETURN_IF_ERROR(Remove(model));
    RETURN_IF_ERROR(transaction.Commit());
  }
  RETURN_IF_ERROR(Rename(path_ / was->entry, retired.place, RENAME_NOREPLACE));
  return Sync();
}

absl::Status ModelsFolder::Revive(const RetiredModel& retired, const fs::path& made) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(Rename(retired.place, made, RENAME_NOREPLACE));
  ASSIGN_OR_RETURN(base::Statement statement,
                   database_.Prepare("DELETE FROM retired WHERE place = ?"));
  return statement.Bind(1, retired.place.filename().native()).Run();
}

absl::Status ModelsFolder::Delete(const RetiredModel& retired) {
  std::lock_guard lock(mutex_);
  std::error_code error;
  fs::remove_all(retired.place, error);
  if (error) {
    return base::ErrnoStatus(error.value(), base::StrCat("cannot delete ", retired.place.native()));
  }
  ASSIGN_OR_RETURN(base::Statement statement,
                   database_.Prepare("DELETE FROM retired WHERE place = ?"));
  return statement.Bind(1, retired.place.filename().native()).Run();
}

absl::StatusOr<registry::AcceptedSubnet> ModelsFolder::Accepted(std::uint32_t subnet_id) const {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(
      base::Statement rows,
      database_.Prepare("SELECT owner, version, signed, digest FROM accepted WHERE subnet = ?"));
  rows.Bind(1, std::int64_t{subnet_id});
  ASSIGN_OR_RETURN(const bool found, rows.Step());
  if (!found) return registry::AcceptedSubnet();
  return registry::AcceptedSubnet{.owner_address = rows.Text(0),
                                  .version = static_cast<std::uint64_t>(rows.Int(1)),
                                  .is_signed = rows.Int(2) != 0,
                                  .digest = rows.Text(3)};
}

absl::Status ModelsFolder::Accept(std::uint32_t subnet_id,
                                  const registry::AcceptedSubnet& accepted) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(base::Statement statement,
                   database_.Prepare("INSERT OR REPLACE INTO accepted (subnet, owner, version, "
                                     "signed, digest) VALUES (?, ?, ?, ?, ?)"));
  return statement.Bind(1, std::int64_t{subnet_id})
      .Bind(2, accepted.owner_address)
      .Bind(3, static_cast<std::int64_t>(accepted.version))
      .Bind(4, std::int64_t{accepted.is_signed})
      .Bind(5, accepted.digest)
      .Run();
}

}  // namespace ncn::sync
