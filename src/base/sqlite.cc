#include "base/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>

#include <cerrno>
#include <utility>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "base/unique_fd.h"

namespace ncn::base {
namespace {

constexpr int kBusyTimeoutMs = 5'000;

absl::StatusCode CodeOf(int result) {
  switch (result & 0xff) {
    case SQLITE_FULL:
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_IOERR:
      return absl::StatusCode::kDataLoss;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
      return absl::StatusCode::kPermissionDenied;
    case SQLITE_CONSTRAINT:
      return absl::StatusCode::kAlreadyExists;
    case SQLITE_CANTOPEN:
    case SQLITE_SCHEMA:
      return absl::StatusCode::kFailedPrecondition;
    default:
      return absl::StatusCode::kInternal;
  }
}

std::string PathOf(sqlite3* connection) {
  const char* path = connection == nullptr ? nullptr : sqlite3_db_filename(connection, "main");
  return path == nullptr || *path == '\0' ? "database" : path;
}

// `result` may tell less than the connection does, which describes its latest call.
absl::Status StatusOf(sqlite3* connection, int result) {
  if (result == SQLITE_OK || result == SQLITE_DONE || result == SQLITE_ROW) {
    return absl::OkStatus();
  }
  const int detailed = connection == nullptr ? result : sqlite3_extended_errcode(connection);
  const bool same = (detailed & 0xff) == (result & 0xff);
  return absl::Status(CodeOf(result), base::StrCat(PathOf(connection), ": ",
                                                   std::string_view(same && connection != nullptr
                                                                        ? sqlite3_errmsg(connection)
                                                                        : sqlite3_errstr(result)),
                                                   " (SQLite ", same ? detailed : result, ")"));
}

absl::Status Run(sqlite3* connection, const std::string& sql) {
  return StatusOf(connection, sqlite3_exec(connection, sql.c_str(), nullptr, nullptr, nullptr));
}

absl::StatusOr<std::int64_t> UserVersion(Database& database) {
  ASSIGN_OR_RETURN(Statement version, database.Prepare("PRAGMA user_version"));
  RETURN_IF_ERROR(version.Step().status());
  return version.Int(0);
}

// SQLite makes files with the umask's permissions, and its -wal and -shm with the file's own.
absl::Status MakePrivate(const std::filesystem::path& path) {
  const UniqueFd fd(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600));
  return fd.valid() ? absl::OkStatus() : ErrnoStatus(errno, path.native());
}

absl::Status ApplySchema(Database& database, const std::filesystem::path& path,
                         std::string_view schema, int version) {
  const auto wrong = [&](std::int64_t found) {
    return absl::FailedPreconditionError(
        base::StrCat(path.native(), ": is of version ", found, ", and this program needs ", version,
                     "; move the file away, or use the program that made it"));
  };
  // Two processes may find the file new at the same time: asked again under the lock.
  ASSIGN_OR_RETURN(std::int64_t found, UserVersion(database));
  if (found == version) return absl::OkStatus();
  if (found != 0) return wrong(found);
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(database));
  ASSIGN_OR_RETURN(found, UserVersion(database));
  if (found == version) return absl::OkStatus();
  if (found != 0) return wrong(found);
  RETURN_IF_ERROR(database.Execute(schema));
  RETURN_IF_ERROR(database.Execute(base::StrCat("PRAGMA user_version=", version)));
  return transaction.Commit();
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)), bind_result_(other.bind_result_) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(statement_, other.statement_);
  std::swap(bind_result_, other.bind_result_);
  return *this;
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::Bind(int parameter, std::int64_t value) {
  const int result = sqlite3_bind_int64(statement_, parameter, value);
  if (bind_result_ == SQLITE_OK) bind_result_ = result;
  return *this;
}

Statement& Statement::Bind(int parameter, std::string_view text) {
  // A null pointer would bind NULL.
  const int result =
      sqlite3_bind_text64(statement_, parameter, text.data() == nullptr ? "" : text.data(),
                          text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (bind_result_ == SQLITE_OK) bind_result_ = result;
  return *this;
}

Statement& Statement::BindBlob(int parameter, std::string_view bytes) {
  const int result =
      sqlite3_bind_blob64(statement_, parameter, bytes.data() == nullptr ? "" : bytes.data(),
                          bytes.size(), SQLITE_TRANSIENT);
  if (bind_result_ == SQLITE_OK) bind_result_ = result;
  return *this;
}

Statement& Statement::BindNull(int parameter) {
  const int result = sqlite3_bind_null(statement_, parameter);
  if (bind_result_ == SQLITE_OK) bind_result_ = result;
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  sqlite3* connection = sqlite3_db_handle(statement_);
  if (const int result = std::exchange(bind_result_, SQLITE_OK); result != SQLITE_OK) {
    return absl::Status(CodeOf(result), base::StrCat(PathOf(connection), ": a parameter: ",
                                                     std::string_view(sqlite3_errstr(result))));
  }
  const int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  const absl::Status status = StatusOf(connection, result);
  sqlite3_reset(statement_);
  if (!status.ok()) return status;
  return false;
}

absl::Status Statement::Run() {
  while (true) {
    ASSIGN_OR_RETURN(const bool row, Step());
    if (!row) return absl::OkStatus();
  }
}

std::int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Statement::Text(int column) const {
  const unsigned char* text = sqlite3_column_text(statement_, column);
  const int bytes = sqlite3_column_bytes(statement_, column);
  if (text == nullptr) return {};
  return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(bytes)};
}

std::string Statement::Blob(int column) const {
  const void* blob = sqlite3_column_blob(statement_, column);
  const int bytes = sqlite3_column_bytes(statement_, column);
  if (blob == nullptr) return {};
  return {static_cast<const char*>(blob), static_cast<std::size_t>(bytes)};
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

void Statement::Reset() { sqlite3_reset(statement_); }

absl::StatusOr<Database> Database::Open(const std::filesystem::path& path, std::string_view schema,
                                        Durability durability, int version) {
  RETURN_IF_ERROR(MakePrivate(path));
  sqlite3* connection = nullptr;
  const int result =
      sqlite3_open_v2(path.c_str(), &connection,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  Database database(connection);  // There is one to close after most errors, too.
  if (result != SQLITE_OK) {
    return absl::Status(CodeOf(result), base::StrCat(path.native(), ": ",
                                                     std::string_view(sqlite3_errstr(result))));
  }
  sqlite3_busy_timeout(connection, kBusyTimeoutMs);
  RETURN_IF_ERROR(database.Execute("PRAGMA journal_mode=WAL"));
  RETURN_IF_ERROR(database.Execute(durability == Durability::kPowerLoss
                                       ? "PRAGMA synchronous=FULL"
                                       : "PRAGMA synchronous=NORMAL"));
  RETURN_IF_ERROR(database.Execute("PRAGMA foreign_keys=ON"));
  RETURN_IF_ERROR(ApplySchema(database, path, schema, version));
  return database;
}

Database::Database(Database&& other) noexcept
    : connection_(std::exchange(other.connection_, nullptr)) {}

Database& Database::operator=(Database&& other) noexcept {
  std::swap(connection_, other.connection_);
  return *this;
}

// The kind of closing that waits for statements which, against the contract, are still there.
Database::~Database() { sqlite3_close_v2(connection_); }

absl::StatusOr<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const char* rest = nullptr;
  const int result = sqlite3_prepare_v3(connection_, sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement, &rest);
  if (result != SQLITE_OK) return StatusOf(connection_, result);
  Statement prepared(statement);
  if (statement == nullptr || rest != sql.data() + sql.size()) {
    return absl::InternalError(
        base::StrCat(PathOf(connection_), ": not one single statement: ", sql));
  }
  return prepared;
}

absl::Status Database::Execute(std::string_view sql) {
  return base::Run(connection_, std::string(sql));
}

absl::StatusOr<Transaction> Transaction::Begin(Database& database) {
  RETURN_IF_ERROR(database.Execute("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::Transaction(Transaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
  // Nothing is left to undo where an error has undone it already.
  if (database_ != nullptr) database_->Execute("ROLLBACK").IgnoreError();
}

absl::Status Transaction::Commit() {
  RETURN_IF_ERROR(database_->Execute("COMMIT"));
  database_ = nullptr;
  return absl::OkStatus();
}

}  // namespace ncn::base
