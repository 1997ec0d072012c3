#include "executors/executor_report.h"

#include "gtest/gtest.h"

namespace ncn::executors {
namespace {

using inference::FailureKind;

TEST(ExecutorReportTest, ReadsASuccess) {
  const auto report = ParseExecutorReport(
      R"({"status":"ok","content_type":"application/json","timings_ms":{"load":1.5,"run":0.25}})");
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->content_type, "application/json");
  ASSERT_EQ(report->steps.size(), 2u);
  EXPECT_EQ(report->steps[0].duration, std::chrono::microseconds(1500));
}

TEST(ExecutorReportTest, KeepsTheExecutorsWordsApartFromTheLog) {
  const auto report = ParseExecutorReport(
      R"({"status":"error","error":{"code":"INVALID_INPUT","message":"wrong type",)"
      R"("field":"image","expected":"FP32","found":"FP64"}})");
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->failure->kind, FailureKind::kInvalidInput);
  EXPECT_EQ(report->failure->message, "the executor cannot use the input");
  EXPECT_EQ(report->failure->detail, "wrong type (image); expected FP32, found FP64");
}

TEST(ExecutorReportTest, NamesThePathThatTheSandboxRefused) {
  const auto report = ParseExecutorReport(
      R"({"status":"error","error":{"code":"ACCESS_DENIED","path":"/some/path"}})");
  EXPECT_EQ(report->failure->message, "Landlock: Access denied to /some/path");
}

TEST(ExecutorReportTest, ReadsProgressWithinItsBounds) {
  const auto report = ParseExecutorReport(
      R"({"status":"progress","fraction":0.4205,"note":"two\nlines","content_type":"text/plain"})");
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_TRUE(report->progress.has_value());
  EXPECT_EQ(report->progress->done_permille, 420u);
  EXPECT_EQ(report->progress->note, "two lines");
  EXPECT_EQ(report->progress->partial.content_type, "text/plain");
  const auto unknown = ParseExecutorReport(R"({"status":"progress","fraction":null})");
  ASSERT_TRUE(unknown.ok()) << unknown.status();
  EXPECT_EQ(unknown->progress->done_permille, 0u);
  EXPECT_EQ(unknown->progress->partial.content_type, inference::kOctetStream);
  const auto endless =
      ParseExecutorReport(R"({"status":"progress","note":")" + std::string(5000, 'n') + R"("})");
  EXPECT_EQ(endless->progress->note.size(), 200u);
  for (const char* fraction : {"-0.1", "1.5", "1e999", "\"half\"", "true", "[]"}) {
    const std::string text = R"({"status":"progress","fraction":)" + std::string(fraction) + "}";
    EXPECT_FALSE(ParseExecutorReport(text).ok()) << text;
  }
}

TEST(ExecutorReportTest, RefusesWhatIsNoReport) {
  for (const char* text :
       {"", "garbage", "[]", "{}", R"({"status":"fine"})", R"({"status":"error"})",
        R"({"status":"error","error":{"code":"NO_SUCH_CODE"}})", R"({"status":7})"}) {
    EXPECT_FALSE(ParseExecutorReport(text).ok()) << text;
  }
  EXPECT_FALSE(ParseExecutorReport(std::string(kReportBytesMax + 1, ' ')).ok());
  EXPECT_FALSE(ParseExecutorReport(std::string(kReportBytesMax, '[')).ok());
}

TEST(ExecutorReportTest, IgnoresTimesThatCannotBe) {
  const auto report = ParseExecutorReport(
      R"({"status":"ok","timings_ms":{"a":-1,"b":1e300,"c":"x","d":null,"e":2}})");
  ASSERT_EQ(report->steps.size(), 1u);
  EXPECT_EQ(report->steps[0].step, "e");
}

TEST(PrintableTest, ReplacesControlCharactersAndBrokenText) {
  EXPECT_EQ(Printable("a\x1b[31mb\nc", 100), "a [31mb c");
  EXPECT_EQ(Printable("\xff", 100), "\xef\xbf\xbd");
  EXPECT_EQ(Printable("abcdef", 3), "abc");
}

}  // namespace
}  // namespace ncn::executors
