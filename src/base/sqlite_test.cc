#include "base/sqlite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

namespace ncn::base {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kSchema = "CREATE TABLE pair (key TEXT PRIMARY KEY, value BLOB) STRICT";

class SqliteTest : public testing::Test {
 protected:
  SqliteTest() {
    std::string name = (std::filesystem::temp_directory_path() / "sqlite.XXXXXX").native();
    folder_ = ::mkdtemp(name.data());
    path_ = folder_ / "state.db";
  }
  ~SqliteTest() override { std::filesystem::remove_all(folder_); }

  absl::StatusOr<Database> Open(std::string_view schema = kSchema, int version = 1) const {
    return Database::Open(path_, schema, Database::Durability::kPowerLoss, version);
  }
  static absl::Status Insert(Database& database, std::string_view key, std::string_view value) {
    absl::StatusOr<Statement> insert = database.Prepare("INSERT INTO pair VALUES (?, ?)");
    if (!insert.ok()) return insert.status();
    return insert->Bind(1, key).BindBlob(2, value).Run();
  }
  static std::int64_t Count(Database& database) {
    absl::StatusOr<Statement> count = database.Prepare("SELECT count(*) FROM pair");
    EXPECT_TRUE(count.ok() && count->Step().value_or(false)) << count.status();
    return count->Int(0);
  }

  std::filesystem::path folder_;
  std::filesystem::path path_;
};

TEST_F(SqliteTest, KeepsRowsOverReopening) {
  const std::string bytes("\0\xff\n'x", 5);
  {
    absl::StatusOr<Database> database = Open();
    ASSERT_TRUE(database.ok()) << database.status();
    ASSERT_TRUE(Insert(*database, "a\nb", bytes).ok());
    ASSERT_TRUE(Insert(*database, "", {}).ok());
  }
  absl::StatusOr<Database> database = Open();
  ASSERT_TRUE(database.ok()) << database.status();
  absl::StatusOr<Statement> select =
      database->Prepare("SELECT key, value, 7, NULL FROM pair ORDER BY key DESC");
  ASSERT_TRUE(select.ok()) << select.status();
  ASSERT_TRUE(select->Step().value());
  EXPECT_EQ(select->Text(0), "a\nb");
  EXPECT_EQ(select->Blob(1), bytes);
  EXPECT_EQ(select->Int(2), 7);
  EXPECT_TRUE(select->IsNull(3));
  ASSERT_TRUE(select->Step().value());
  EXPECT_EQ(select->Text(0), "");
  EXPECT_FALSE(select->IsNull(1));
  EXPECT_FALSE(select->Step().value());
  EXPECT_TRUE(select->Step().value()) << "a statement begins afresh after its last row";
}

TEST_F(SqliteTest, MakesFilesForTheOwnerAlone) {
  const absl::StatusOr<Database> database = Open();
  ASSERT_TRUE(database.ok()) << database.status();
  for (const char* suffix : {"", "-wal"}) {
    struct stat info;
    ASSERT_EQ(::stat((path_.native() + suffix).c_str(), &info), 0) << suffix;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << suffix;
  }
}

TEST_F(SqliteTest, AStatementOutlivesAMoveOfItsDatabase) {
  absl::StatusOr<Database> opened = Open();
  ASSERT_TRUE(opened.ok()) << opened.status();
  absl::StatusOr<Statement> insert = opened->Prepare("INSERT INTO pair VALUES (?, ?)");
  ASSERT_TRUE(insert.ok()) << insert.status();
  Database database = *std::move(opened);
  Statement moved = *std::move(insert);
  EXPECT_TRUE(moved.Bind(1, "a").BindNull(2).Run().ok());
  EXPECT_EQ(Count(database), 1);
}

TEST_F(SqliteTest, UndoesATransactionThatIsNotCommitted) {
  absl::StatusOr<Database> database = Open();
  ASSERT_TRUE(database.ok()) << database.status();
  {
    absl::StatusOr<Transaction> transaction = Transaction::Begin(*database);
    ASSERT_TRUE(transaction.ok() && Insert(*database, "a", "1").ok());
  }
  EXPECT_EQ(Count(*database), 0);
  {
    absl::StatusOr<Transaction> transaction = Transaction::Begin(*database);
    ASSERT_TRUE(transaction.ok() && Insert(*database, "a", "1").ok());
    EXPECT_TRUE(transaction->Commit().ok());
  }
  EXPECT_EQ(Count(*database), 1);
}

TEST_F(SqliteTest, SaysThatAFileIsNoDatabase) {
  std::ofstream(path_) << std::string(4096, 'x');
  const absl::Status status = Open().status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), StartsWith(path_.native()));
}

TEST_F(SqliteTest, SaysThatAFileIsDamaged) {
  {
    absl::StatusOr<Database> database = Open();
    ASSERT_TRUE(database.ok()) << database.status();
    ASSERT_TRUE(Insert(*database, "a", std::string(100'000, 'x')).ok());
  }
  // The schema's page and the header stay, so that the damage is found by reading rows.
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096);
  file << std::string(3 * 4096, '\xff');
  file.close();
  absl::StatusOr<Database> database = Open();
  ASSERT_TRUE(database.ok()) << database.status();
  absl::StatusOr<Statement> select = database->Prepare("SELECT value FROM pair");
  ASSERT_TRUE(select.ok()) << select.status();
  EXPECT_TRUE(absl::IsDataLoss(select->Step().status()));
}

TEST_F(SqliteTest, SaysThatTheDiskIsFull) {
  absl::StatusOr<Database> database = Open();
  ASSERT_TRUE(database.ok()) << database.status();
  ASSERT_TRUE(database->Execute("PRAGMA max_page_count=8").ok());
  const absl::Status status = Insert(*database, "a", std::string(100'000, 'x'));
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), StartsWith(path_.native()));
  EXPECT_EQ(Count(*database), 0);
}

TEST_F(SqliteTest, SaysThatAnotherHoldsTheLock) {
  absl::StatusOr<Database> one = Open();
  absl::StatusOr<Database> two = Open();
  ASSERT_TRUE(one.ok() && two.ok());
  ASSERT_TRUE(two->Execute("PRAGMA busy_timeout=0").ok());
  const absl::StatusOr<Transaction> held = Transaction::Begin(*one);
  ASSERT_TRUE(held.ok()) << held.status();
  const absl::Status status = Insert(*two, "a", "1");
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

TEST_F(SqliteTest, SaysThatAFolderIsMissingOrInTheWay) {
  path_ = folder_ / "no" / "state.db";
  EXPECT_TRUE(absl::IsNotFound(Open().status())) << Open().status();
  path_ = folder_;
  const absl::Status status = Open().status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), StartsWith(path_.native()));
}

TEST_F(SqliteTest, RefusesAFileOfAnotherVersion) {
  ASSERT_TRUE(Open(kSchema, 2).ok());
  const absl::Status status = Open(kSchema, 1).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("is of version 2"));
}

TEST_F(SqliteTest, LeavesNothingOfASchemaWithAMistake) {
  EXPECT_FALSE(Open("CREATE TABLE pair (key); CREATE TABLE").ok());
  EXPECT_TRUE(Open(kSchema).ok());
}

TEST_F(SqliteTest, SaysWhatAStatementBreaks) {
  absl::StatusOr<Database> database = Open();
  ASSERT_TRUE(database.ok()) << database.status();
  ASSERT_TRUE(Insert(*database, "a", "1").ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Insert(*database, "a", "1")));
  EXPECT_FALSE(database->Prepare("SELEKT").ok());
  EXPECT_FALSE(database->Prepare("SELECT 1; SELECT 2").ok());
  EXPECT_FALSE(database->Prepare("").ok());
  absl::StatusOr<Statement> select = database->Prepare("SELECT 1");
  ASSERT_TRUE(select.ok()) << select.status();
  EXPECT_FALSE(select->Bind(1, "no such parameter").Step().ok());
}

}  // namespace
}  // namespace ncn::base
