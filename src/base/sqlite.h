#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace ncn::base {

// SQLite for our own small state: a connection and prepared statements that end what they own, with
// errors as statuses that begin with the file's path:
//   ResourceExhausted  the disk is full
//   Unavailable        another process holds the lock for longer than the busy timeout
//   DataLoss           the file is damaged, or no database
//   PermissionDenied   it must not be read or written
//   AlreadyExists      a row breaks a unique or other constraint
//   FailedPrecondition it cannot be opened, or its schema is another
//   Internal           the rest: a statement with a mistake in it
// Movable; for one thread at a time.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  // Parameters are counted from 1 and stay bound over Reset. Text and blobs are copied. What cannot
  // be bound is reported by the next Step.
  Statement& Bind(int parameter, std::int64_t value);
  Statement& Bind(int parameter, std::string_view text);
  Statement& BindBlob(int parameter, std::string_view bytes);
  Statement& BindNull(int parameter);

  // Whether there is a row to read. After the last row, or an error, the statement begins afresh.
  absl::StatusOr<bool> Step();
  // For statements that give no row: runs the statement to its end.
  absl::Status Run();

  // Of the row that Step found, counted from 0. What is of another type is converted as SQLite
  // does.
  std::int64_t Int(int column) const;
  std::string Text(int column) const;
  std::string Blob(int column) const;
  bool IsNull(int column) const;

  // Lets go of the row, and with it of the lock that reading holds.
  void Reset();

 private:
  friend class Database;
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}

  sqlite3_stmt* statement_ = nullptr;
  int bind_result_ = 0;  // The first that was not OK.
};

class Database {
 public:
  // How much a commit has survived when it returns.
  enum class Durability {
    kPowerLoss,  // PRAGMA synchronous=FULL
    kCrash,      // NORMAL: a power loss may undo the last commits, and damages nothing.
  };

  // Opens or makes the file, readable and writable by its owner alone, in WAL mode. `schema` is
  // executed in one transaction when the file is new (user_version 0), after which user_version is
  // `version`; a file of another version is FailedPrecondition.
  static absl::StatusOr<Database> Open(const std::filesystem::path& path, std::string_view schema,
                                       Durability durability = Durability::kPowerLoss,
                                       int version = 1);

  Database(Database&& other) noexcept;
  Database& operator=(Database&& other) noexcept;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  // After all statements of its own.
  ~Database();

  // One statement; `sql` that goes on after it is Internal.
  absl::StatusOr<Statement> Prepare(std::string_view sql);
  // Any number of statements, whose rows nobody wants.
  absl::Status Execute(std::string_view sql);

 private:
  explicit Database(sqlite3* connection) : connection_(connection) {}

  sqlite3* connection_ = nullptr;
};

// A transaction that is undone unless it is committed. The database outlives it.
class Transaction {
 public:
  // Takes the lock for writing at once, so that no later statement finds it taken.
  static absl::StatusOr<Transaction> Begin(Database& database);
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  Transaction(const Transaction&) = delete;
  ~Transaction();

  absl::Status Commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}

  Database* database_;  // Null once it has ended.
};

}  // namespace ncn::base
