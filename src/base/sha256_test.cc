#include "base/sha256.h"

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ncn::base {
namespace {

// FIPS 180-4, examples of the standard.
TEST(Sha256Test, AgreesWithPublishedVectors) {
  EXPECT_EQ(AsHex(Sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(AsHex(Sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(AsHex(Sha256(std::string(1000000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, PartsHashLikeTheWholeAndTheHasherStartsAfresh) {
  Sha256Hasher hasher;
  EXPECT_EQ(hasher.Update("a").Update("bc").Finish(), Sha256("abc"));
  EXPECT_EQ(hasher.Finish(), Sha256(""));
}

TEST(Sha256Test, HashesAFileWhateverItsOffset) {
  const std::string bytes(1000000, 'a');
  const absl::StatusOr<UniqueFd> fd = SealedMemory("test", bytes);
  ASSERT_TRUE(fd.ok());
  ASSERT_EQ(ReadAll(fd->get(), bytes.size())->size(), bytes.size());
  EXPECT_EQ(*Sha256OfFile(fd->get()), Sha256(bytes));
}

TEST(Sha256Test, ReportsAnUnreadableFile) { EXPECT_FALSE(Sha256OfFile(-1).ok()); }

}  // namespace
}  // namespace ncn::base
