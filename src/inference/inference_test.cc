#include "gtest/gtest.h"
#include "inference/failure.h"
#include "inference/inference_request.h"

namespace ncn::inference {
namespace {

TEST(ModelIdTest, AcceptsNamesOfTheSpecification) {
  EXPECT_EQ(ModelId::Parse("bark_semantic")->value(), "bark_semantic");
}

TEST(ModelIdTest, RefusesWhateverCouldBeAPath) {
  for (const std::string& name :
       {std::string(".."), std::string("a/b"), std::string(""), std::string("a\0b", 3),
        std::string(300, 'x'), std::string(".hidden"), std::string("ä")}) {
    EXPECT_EQ(ModelId::Parse(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST(FailureTest, EveryNameReadsBack) {
  for (int i = 0; i <= static_cast<int>(FailureKind::kInternal); ++i) {
    const auto kind = static_cast<FailureKind>(i);
    EXPECT_EQ(FailureKindFromName(Name(kind)), kind);
  }
}

InferenceRequest Request(std::string bytes) {
  return {.id = *RequestId::Parse("r1"),
          .model = *ModelId::Parse("digits"),
          .input = {std::move(bytes), kOpenInferenceJson}};
}

TEST(InferenceRequestTest, RefusesEmptyAndOversizedInput) {
  const RequestLimits limits{.input_bytes_max = 4};
  EXPECT_TRUE(Validate(Request("1234"), limits).ok());
  EXPECT_EQ(Validate(Request(""), limits).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Validate(Request("12345"), limits).code(), absl::StatusCode::kResourceExhausted);
}

TEST(InferenceRequestTest, RefusesMediaTypesThatAreNone) {
  InferenceRequest request = Request("1");
  for (const char* type : {"json", "a/b/c", "/json", "text/", "text/ht\nml"}) {
    request.accept = type;
    EXPECT_FALSE(Validate(request, {}).ok()) << type;
  }
  request.accept = "application/x-safetensors";
  EXPECT_TRUE(Validate(request, {}).ok());
}

}  // namespace
}  // namespace ncn::inference
