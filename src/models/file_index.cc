#include "models/file_index.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>
#include <vector>

#include "base/hex.h"
#include "base/logging.h"
#include "base/sha256.h"
#include "base/sqlite.h"
#include "base/status_macros.h"
#include "base/strings.h"

namespace ncn::models {
namespace {

constexpr std::size_t kRowsMax = 200'000;
constexpr std::int64_t kDaysKept = 30;
constexpr std::size_t kDigestBytes = 32;
constexpr std::string_view kSchema =
    "CREATE TABLE file (device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL,"
    " mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, sha256 BLOB NOT NULL,"
    " format TEXT NOT NULL, seen_day INTEGER NOT NULL, PRIMARY KEY (device, inode))"
    " STRICT, WITHOUT ROWID";

// SQLite's integers are signed; the bits are kept.
std::int64_t Signed(std::uint64_t value) { return static_cast<std::int64_t>(value); }
std::uint64_t Unsigned(std::int64_t value) { return static_cast<std::uint64_t>(value); }

void RemoveDatabase(const std::filesystem::path& path) {
  std::error_code ignored;
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::remove(path.native() + suffix, ignored);
  }
}

}  // namespace

class FileIndex::Store {
 public:
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::filesystem::path& path,
                                                     std::map<Key, Row>& rows) {
    // A row too few costs the reading of one file.
    ASSIGN_OR_RETURN(base::Database database,
                     base::Database::Open(path, kSchema, base::Database::Durability::kCrash));
    ASSIGN_OR_RETURN(base::Statement insert,
                     database.Prepare("INSERT OR REPLACE INTO file VALUES (?,?,?,?,?,?,?,?)"));
    ASSIGN_OR_RETURN(base::Statement remove,
                     database.Prepare("DELETE FROM file WHERE device=? AND inode=?"));
    std::unique_ptr<Store> store(
        new Store(std::move(database), std::move(insert), std::move(remove)));
    RETURN_IF_ERROR(store->Load(rows));
    return store;
  }

  absl::Status Write(std::map<Key, Row>& rows, const std::vector<Key>& removed) {
    ASSIGN_OR_RETURN(base::Transaction transaction, base::Transaction::Begin(database_));
    for (const Key& key : removed) {
      RETURN_IF_ERROR(remove_.Bind(1, Signed(key.device)).Bind(2, Signed(key.inode)).Run());
    }
    for (const auto& [key, row] : rows) {
      if (!row.written) RETURN_IF_ERROR(Insert(row));
    }
    RETURN_IF_ERROR(transaction.Commit());
    for (auto& [key, row] : rows) row.written = true;
    return absl::OkStatus();
  }

 private:
  Store(base::Database database, base::Statement insert, base::Statement remove)
      : database_(std::move(database)), insert_(std::move(insert)), remove_(std::move(remove)) {}

  absl::Status Insert(const Row& row) {
    const std::string sha256 = base::HexDecode(row.sha256).value_or("");
    return insert_.Bind(1, Signed(row.identity.device))
        .Bind(2, Signed(row.identity.inode))
        .Bind(3, Signed(row.identity.size_bytes))
        .Bind(4, row.identity.mtime_ns)
        .Bind(5, row.identity.ctime_ns)
        .BindBlob(6, sha256)
        .Bind(7, row.format ? Name(*row.format) : std::string_view())
        .Bind(8, row.seen_day)
        .Run();
  }

  absl::Status Load(std::map<Key, Row>& rows) {
    ASSIGN_OR_RETURN(base::Statement select, database_.Prepare("SELECT * FROM file LIMIT 200000"));
    while (true) {
      ASSIGN_OR_RETURN(const bool more, select.Step());
      if (!more) return absl::OkStatus();
      Row row{.identity = {.device = Unsigned(select.Int(0)),
                           .inode = Unsigned(select.Int(1)),
                           .size_bytes = Unsigned(select.Int(2)),
                           .mtime_ns = select.Int(3),
                           .ctime_ns = select.Int(4)},
              .format = ModelFormatFromName(select.Text(6)),
              .seen_day = select.Int(7),
              .written = true};
      const std::string sha256 = select.Blob(5);
      if (sha256.size() == kDigestBytes) row.sha256 = base::HexEncode(sha256);
      rows.insert_or_assign(KeyOf(row.identity), std::move(row));
    }
  }

  base::Database database_;  // Outlives its statements.
  base::Statement insert_;
  base::Statement remove_;
};

FileIndex::FileIndex(std::filesystem::path path, const base::Clock& clock) : clock_(clock) {
  if (path.empty()) return;
  auto store = Store::Open(path, rows_);
  if (absl::IsDataLoss(store.status()) || absl::IsFailedPrecondition(store.status())) {
    base::Log("models").warn("the index of files is made anew: {}",
                             std::string(store.status().message()));
    rows_.clear();
    RemoveDatabase(path);
    store = Store::Open(path, rows_);
  }
  if (store.ok()) {
    store_ = *std::move(store);
    return;
  }
  rows_.clear();
  base::Log("models").warn("hashes of models are not kept over restarts: {}",
                           std::string(store.status().message()));
}

FileIndex::~FileIndex() { Flush(); }

std::int64_t FileIndex::Today() const {
  return std::chrono::floor<std::chrono::days>(clock_.WallNow()).time_since_epoch().count();
}

FileIndex::Row* FileIndex::Recall(const FileIdentity& identity) {
  const auto found = rows_.find(KeyOf(identity));
  if (found == rows_.end() || found->second.identity != identity) return nullptr;
  if (const std::int64_t today = Today(); found->second.seen_day != today) {
    found->second.seen_day = today;
    found->second.written = false;
    dirty_ = true;
  }
  return &found->second;
}

FileIndex::Row& FileIndex::RowFor(const FileIdentity& identity) {
  if (rows_.size() >= kRowsMax && !rows_.contains(KeyOf(identity))) MakeRoom();
  Row& row = rows_[KeyOf(identity)];
  if (row.identity != identity) row = {.identity = identity};
  row.seen_day = Today();
  row.written = false;
  dirty_ = true;
  return row;
}

absl::StatusOr<std::string> FileIndex::Sha256(const FolderFd& folder, const TreeFile& listed) {
  {
    std::lock_guard lock(mutex_);
    const Row* row = Recall(listed.identity);
    if (row != nullptr && !row->sha256.empty()) return row->sha256;
  }
  ASSIGN_OR_RETURN(const FolderFd::File file, folder.OpenListed(listed));
  ASSIGN_OR_RETURN(const base::Digest digest, base::Sha256OfFile(file.fd.get()));
  ASSIGN_OR_RETURN(const FileIdentity after, IdentityOf(file.fd.get(), listed.path));
  if (after != listed.identity) return ChangedWhileRead(listed.path);
  std::string sha256 = base::AsHex(digest);
  if (!IsSettled(listed.identity)) return sha256;
  std::lock_guard lock(mutex_);
  RowFor(listed.identity).sha256 = sha256;
  return sha256;
}

absl::StatusOr<ModelFormat> FileIndex::Format(const FolderFd& folder, const TreeFile& listed) {
  {
    std::lock_guard lock(mutex_);
    const Row* row = Recall(listed.identity);
    if (row != nullptr && row->format && FitsName(*row->format, listed.path)) return *row->format;
  }
  ASSIGN_OR_RETURN(const FolderFd::File file, folder.OpenListed(listed));
  ASSIGN_OR_RETURN(const ModelFormat format, DetectFormat(file.fd.get(), listed.path));
  ASSIGN_OR_RETURN(const FileIdentity after, IdentityOf(file.fd.get(), listed.path));
  if (after != listed.identity) return ChangedWhileRead(listed.path);
  if (!IsSettled(listed.identity)) return format;
  std::lock_guard lock(mutex_);
  RowFor(listed.identity).format = format;
  return format;
}

void FileIndex::Learn(const FileIdentity& identity, const std::string& sha256) {
  std::lock_guard lock(mutex_);
  RowFor(identity).sha256 = sha256;
}

void FileIndex::Forget(std::int64_t before_day) {
  for (auto row = rows_.begin(); row != rows_.end();) {
    if (row->second.seen_day >= before_day) {
      ++row;
      continue;
    }
    removed_.push_back(row->first);
    row = rows_.erase(row);
  }
}

// All that are older than the median, or simply all.
void FileIndex::MakeRoom() {
  std::vector<std::int64_t> days;
  for (const auto& [key, row] : rows_) days.push_back(row.seen_day);
  const auto middle = days.begin() + static_cast<std::ptrdiff_t>(days.size() / 2);
  std::nth_element(days.begin(), middle, days.end());
  Forget(*middle);
  if (rows_.size() >= kRowsMax) Forget(Today() + 1);
}

void FileIndex::Flush() {
  std::lock_guard lock(mutex_);
  if (!std::exchange(dirty_, false)) return;
  Forget(Today() - kDaysKept);
  const std::vector<Key> removed = std::exchange(removed_, {});
  if (store_ == nullptr) return;
  if (const absl::Status written = store_->Write(rows_, removed); !written.ok()) {
    base::Log("models").warn("hashes of models are no longer kept over restarts: {}",
                             std::string(written.message()));
    store_.reset();
  }
}

std::size_t FileIndex::size() const {
  std::lock_guard lock(mutex_);
  return rows_.size();
}

}  // namespace ncn::models
