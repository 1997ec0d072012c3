#include "native/report.h"

#include "gtest/gtest.h"
#include "native/json_value.h"
#include "native/utf8.h"

namespace ncn::native {
namespace {

ExecutorError ErrorOf(const std::string& text) {
  return {.code = ErrorCode::kInvalidInput,
          .message = text,
          .field = text,
          .expected = text,
          .found = text,
          .path = text};
}

std::string MessageOf(const std::string& report) {
  const auto parsed = ParseJson(report);
  EXPECT_TRUE(parsed.ok());
  return parsed->Find("error")->Find("message")->text();
}

TEST(ReportTest, SaysWhatWasMeasured) {
  EXPECT_EQ(ReportAnswer("a/b", {.timings_ms = {{"run", 1.23456}}, .versions = {{"x", "1"}}}),
            R"({"status":"ok","content_type":"a/b","timings_ms":{"run":1.235},)"
            R"("versions":{"x":"1"}})");
  EXPECT_EQ(ReportReady("none", {}), R"({"status":"ready","warm_up":"none","timings_ms":{},)"
                                     R"("versions":{}})");
}

TEST(ReportTest, AFailureFitsWhateverItsTextsHold) {
  for (const char* character : {"a", "\x01", "\xFF", "\xC3\xA9", "\xF0\x9F\x98\x80"}) {
    std::string text;
    for (int i = 0; i < 10'000; ++i) text += character;
    testing::internal::CaptureStderr();
    const std::string report = ReportFailure(ErrorOf(text), {.timings_ms = {{"run", 1.5}}});
    testing::internal::GetCapturedStderr();
    EXPECT_LE(report.size(), kReportBytesMax);
    EXPECT_LE(MessageOf(report).size(), 2000U);
    EXPECT_TRUE(MessageOf(report).ends_with("\u2026"));
  }
  EXPECT_EQ(MessageOf(ReportFailure(ErrorOf("short"), {})), "short");
}

// Who reads a report takes no half of a surrogate pair, which a request's JSON may hold.
TEST(ReportTest, TextsBecomeUtf8) {
  const std::string report = ReportFailure(ErrorOf("a\xED\xA0\x80z\xFF"), {});
  EXPECT_EQ(MessageOf(report), "a\uFFFDz\uFFFD");
  EXPECT_EQ(ValidUtf8(report), report.size());
}

}  // namespace
}  // namespace ncn::native
