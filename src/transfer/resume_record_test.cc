#include "transfer/resume_record.h"

#include "base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ncn::transfer {
namespace {

using ::testing::ElementsAre;

std::string Padded(std::string text) {
  text.resize(kResumeRecordBytes, ' ');
  return text;
}

TEST(ResumeRecordTest, ReadsWhatItWrote) {
  const ResumeRecord record = {.size_bytes = 1000,
                               .sha256 = std::string(64, 'a'),
                               .boot_id = "boot",
                               .present = {{0, 10}, {20, 1000}}};
  const auto read = ParseResumeRecord(EncodeResumeRecord(record));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->size_bytes, 1000U);
  EXPECT_EQ(read->sha256, record.sha256);
  EXPECT_EQ(read->boot_id, "boot");
  EXPECT_THAT(read->present, ElementsAre(ByteRange{0, 10}, ByteRange{20, 1000}));
}

TEST(ResumeRecordTest, LeavesOutRangesRatherThanGrow) {
  ResumeRecord record = {
      .size_bytes = ~std::uint64_t{0}, .sha256 = std::string(64, 'a'), .boot_id = "b"};
  for (std::uint64_t i = 0; i < 1000; ++i) {
    record.present.push_back({record.size_bytes - 3000 + 2 * i, record.size_bytes - 2999 + 2 * i});
  }
  const auto read = ParseResumeRecord(EncodeResumeRecord(record));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->present.size(), kResumeRangesMax);
}

TEST(ResumeRecordTest, RefusesWhatIsNoRecord) {
  const auto with = [](std::string_view version, std::string_view present) {
    return Padded(base::StrCat(R"({"version":)", version,
                               R"(,"size_bytes":100,"sha256":"a","boot_id":"b","present":)",
                               present, "}"));
  };
  ASSERT_TRUE(ParseResumeRecord(with("1", "[[0,100]]")).ok());
  for (const std::string& bytes :
       {std::string(), Padded(""), Padded("[]"), with("2", "[[0,100]]"), with("1", "{}"),
        with("1", "[[0]]"), with("1", "[[-1,5]]"), with("1", "[[0,101]]"), with("1", "[[5,5]]"),
        with("1", "[[10,20],[0,5]]"), with("1", "[[0,5],[5,9]]"), with("1", "[[0.5,5]]"),
        Padded(R"({"version":1})"), with("1", "[[0,100]]").substr(1)}) {
    EXPECT_EQ(ParseResumeRecord(bytes).status().code(), absl::StatusCode::kInvalidArgument)
        << bytes;
  }
}

}  // namespace
}  // namespace ncn::transfer
