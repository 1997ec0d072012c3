#include "native/payload.h"

#include <cstring>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "native/half.h"
#include "native/input_check.h"
#include "native/open_inference.h"
#include "native/safetensors.h"

namespace ncn::native {
namespace {

// A request of one tensor "x".
std::string Json(const std::string& datatype, const std::string& shape, const std::string& data) {
  return R"({"inputs": [{"name": "x", "datatype": ")" + datatype + R"(", "shape": )" + shape +
         R"(, "data": )" + data + "}]}";
}

template <typename T>
std::vector<T> ElementsOf(const Tensor& tensor) {
  std::vector<T> elements(tensor.bytes.size() / sizeof(T));
  if (elements.empty()) return elements;
  std::memcpy(elements.data(), tensor.bytes.data(), tensor.bytes.size());
  return elements;
}

template <typename T>
std::vector<T> Decoded(const std::string& datatype, const std::string& shape,
                       const std::string& data) {
  const auto question = DecodeOpenInference(Json(datatype, shape, data));
  EXPECT_TRUE(question.ok()) << (question.ok() ? "" : question.status().Describe());
  return question.ok() ? ElementsOf<T>(question->tensors[0]) : std::vector<T>();
}

ExecutorError Refusal(const std::string& datatype, const std::string& shape,
                      const std::string& data) {
  const auto question = DecodeOpenInference(Json(datatype, shape, data));
  return question.ok() ? ExecutorError{} : question.status();
}

std::string Safetensors(const std::string& header, const std::string& data) {
  std::string file(8, '\0');
  const std::uint64_t size = header.size();
  std::memcpy(file.data(), &size, sizeof(size));
  return file + header + data;
}

TEST(OpenInferenceTest, ReadsFlatAndNestedDataOfEveryType) {
  EXPECT_EQ(Decoded<float>("FP32", "[2, 2]", "[1, 2.5, true, -4]"),
            (std::vector<float>{1, 2.5, 1, -4}));
  EXPECT_EQ(Decoded<double>("FP64", "[2, 2]", "[[1, 2], [3, 4.5]]"),
            (std::vector<double>{1, 2, 3, 4.5}));
  EXPECT_EQ(Decoded<std::uint16_t>("FP16", "[2]", "[1, -2]"),
            (std::vector<std::uint16_t>{0x3C00, 0xC000}));
  EXPECT_EQ(Decoded<std::int8_t>("INT8", "[2]", "[-128, 127]"),
            (std::vector<std::int8_t>{-128, 127}));
  EXPECT_EQ(Decoded<std::uint64_t>("UINT64", "[2]", "[18446744073709551615, 1]"),
            (std::vector<std::uint64_t>{~0ULL, 1}));
  EXPECT_EQ(Decoded<std::uint8_t>("BOOL", "[2]", "[true, false]"),
            (std::vector<std::uint8_t>{1, 0}));
  EXPECT_EQ(Decoded<std::int64_t>("INT64", "[]", "[7]"), (std::vector<std::int64_t>{7}));
  const auto texts = DecodeOpenInference(Json("BYTES", "[2]", R"(["a", "é"])"));
  EXPECT_EQ(texts->tensors[0].texts, (std::vector<std::string>{"a", "é"}));
}

TEST(OpenInferenceTest, SaysWhichFieldIsWrongAndWhatWasExpected) {
  struct Row {
    ExecutorError error;
    const char* field;
    const char* expected;
    const char* found;
  };
  const Row rows[] = {
      {Refusal("INT8", "[1]", "[128]"), "inputs[0].data", "numbers within INT8", "one outside"},
      {Refusal("INT64", "[1]", "[9223372036854775808]"), "inputs[0].data", "numbers within INT64",
       "one outside"},
      {Refusal("UINT8", "[1]", "[-1]"), "inputs[0].data", "numbers within UINT8", "one outside"},
      {Refusal("FP16", "[1]", "[70000.0]"), "inputs[0].data", "numbers within FP16", "one outside"},
      {Refusal("FP32", "[1]", "[1e39]"), "inputs[0].data", "numbers within FP32", "one outside"},
      {Refusal("INT32", "[1]", "[1.5]"), "inputs[0].data", "INT32", "numbers"},
      {Refusal("BOOL", "[1]", "[1]"), "inputs[0].data", "BOOL", "integers"},
      {Refusal("FP32", "[1]", "[true]"), "inputs[0].data", "FP32", "booleans"},
      {Refusal("FP32", "[1]", R"(["1"])"), "inputs[0].data", "FP32", "other elements"},
      {Refusal("BYTES", "[1]", "[1]"), "inputs[0].data", "texts, in lists of equal length",
       "elements of several types, or lists of several lengths"},
      {Refusal("FP32", "[2]", "[1]"), "inputs[0].data", "2 elements for shape [2]", "1 elements"},
      {Refusal("FP32", "[1, 2]", "[[1], [2]]"), "inputs[0].data", "2 elements for shape [1, 2]",
       "nested lists of shape [2, 1]"},
      {Refusal("FP32", "[3]", "[[1], [2, 3]]"), "inputs[0].data", "FP32, in lists of equal length",
       "elements of several types, or lists of several lengths"},
      {Refusal("FP32", "[2]", "[1, [2]]"), "inputs[0].data", "FP32, in lists of equal length",
       "elements of several types, or lists of several lengths"},
      {Refusal("FP32", "[-1]", "[1]"), "inputs[0].shape", "a list of at most 16 whole numbers",
       "other elements"},
      {Refusal("FP32", "1", "[1]"), "inputs[0].shape", "a list of at most 16 whole numbers",
       "a number"},
      {Refusal("FP32", "[1]", "1"), "inputs[0].data", "a list", "a number"},
      {DecodeOpenInference("[]").status(), "", R"({"inputs": [...]})", "a list"},
      {DecodeOpenInference("{}").status(), "inputs", "a list of at most 4096 tensors", "nothing"},
      {DecodeOpenInference(R"({"inputs": [{"name": "x", "shape": [], "b": 1}]})").status(),
       "inputs[0].datatype", "name, shape, datatype and data", "name, shape, b"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(row.error.code, ErrorCode::kInvalidInput) << row.error.message;
    EXPECT_EQ(row.error.field, row.field) << row.error.message;
    EXPECT_EQ(row.error.expected, row.expected) << row.error.message;
    EXPECT_EQ(row.error.found, row.found) << row.error.message;
  }
}

TEST(OpenInferenceTest, AShapeThatIsLargerThanMemoryIsOnlyANumber) {
  EXPECT_EQ(Refusal("FP32", "[4611686018427387904, 4611686018427387904]", "[1]").field,
            "inputs[0].data");
  EXPECT_TRUE(
      Decoded<float>("FP32", "[4611686018427387904, 0, 4611686018427387904]", "[]").empty());
}

TEST(OpenInferenceTest, LeavesToOthersWhatItDoesNotRead) {
  EXPECT_EQ(Refusal("BF16", "[1]", "[1]").code, ErrorCode::kUnsupportedModel);
  for (const char* text :
       {R"({"inputs": [], "parameters": {}})", R"({"inputs": [{"parameters": {}}]})",
        R"({"inputs": [], "outputs": [{"name": "y", "parameters": {}}]})",
        R"({"inputs": [{"parameters": {"binary_data_size": 1}}]}x)"}) {
    EXPECT_EQ(DecodeOpenInference(text).status().code, ErrorCode::kUnsupportedModel) << text;
  }
}

TEST(OpenInferenceTest, WritesAnAnswerWithoutSpaces) {
  Tensor tensor{.name = "y", .datatype = Datatype::kFp32, .shape = {1, 2}};
  const float elements[] = {0.5F, -3};
  std::memcpy(tensor.Allocate(sizeof(elements)), elements, sizeof(elements));
  const auto answer = EncodeOpenInference({&tensor}, {{"y", {"no", "yes"}}}, {"m", "1", "id"});
  EXPECT_EQ(*answer, R"({"model_name":"m","model_version":"1","id":"id","outputs":[{"name":"y",)"
                     R"("shape":[1,2],"datatype":"FP32",)"
                     R"("parameters":{"labels":["no","yes"]},"data":[0.5,-3.0]}]})");
  const std::uint32_t infinity = 0x7F800000;
  std::memcpy(tensor.storage.get(), &infinity, sizeof(infinity));
  EXPECT_EQ(EncodeOpenInference({&tensor}, {}, {}).status().found, "Infinity");
}

TEST(SafetensorsTest, ReadsWhatItWrites) {
  Tensor small{.name = "b", .datatype = Datatype::kUint8, .shape = {3}};
  std::memcpy(small.Allocate(3), "abc", 3);
  Tensor wide{.name = "a", .datatype = Datatype::kFp64, .shape = {1}};
  const double element = 2.5;
  std::memcpy(wide.Allocate(sizeof(element)), &element, sizeof(element));
  const auto file = EncodeSafetensors({&small, &wide}, {"model", "", "id"});
  ASSERT_TRUE(file.ok());
  EXPECT_NE(file->find(R"({"__metadata__":{"model_name":"model","id":"id"},"b":{"dtype":"U8")"),
            std::string::npos);
  const auto question = DecodeSafetensors(*file);
  ASSERT_TRUE(question.ok()) << question.status().Describe();
  EXPECT_EQ(question->identifier, "id");
  ASSERT_EQ(question->tensors.size(), 2U);
  const std::size_t first = question->tensors[0].name == "b" ? 0 : 1;
  EXPECT_EQ(question->tensors[first].bytes, "abc");
  EXPECT_THAT(ElementsOf<double>(question->tensors[1 - first]), ::testing::ElementsAre(2.5));
}

TEST(SafetensorsTest, RefusesWhatIsNotWhole) {
  const auto entry = [](const std::string& dtype, const std::string& shape,
                        const std::string& offsets) {
    return R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
           offsets + "}}";
  };
  const std::pair<std::string, const char*> rows[] = {
      {"", "HeaderTooSmall"},
      {std::string(8, '\xFF'), "HeaderTooLarge"},
      {std::string("\x14\0\0\0\0\0\0\0{}", 10), "InvalidHeaderLength"},
      {Safetensors("{x}", ""), "InvalidHeaderDeserialization"},
      {Safetensors(entry("F32", "[1]", "[0,4]"), ""), "MetadataIncompleteBuffer"},
      {Safetensors(entry("F32", "[1]", "[0,4]"), "12345"), "MetadataIncompleteBuffer"},
      {Safetensors(entry("F32", "[2]", "[0,4]"), "1234"), "TensorInvalidInfo"},
      {Safetensors(entry("F32", "[1]", "[4,8]"), "12345678"), "InvalidOffset(\"a\")"},
      {Safetensors(entry("F32", "[1]", "[4,0]"), "1234"), "InvalidOffset(\"a\")"},
      {Safetensors(entry("U8", "[9223372036854775807,4]", "[0,2]"), "12"), "ValidationOverflow"},
      {Safetensors(entry("U8", "[-1]", "[0,2]"), "12"), "InvalidHeaderDeserialization"},
      {Safetensors(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                   R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                   "12"),
       "InvalidOffset(\"a\")"},
  };
  for (const auto& [file, why] : rows) {
    const auto question = DecodeSafetensors(file);
    ASSERT_FALSE(question.ok()) << why;
    EXPECT_EQ(question.status().found, std::string("Error while deserializing: ") + why);
  }
  EXPECT_EQ(DecodeSafetensors(Safetensors(entry("BF16", "[1]", "[0,2]"), "12")).status().code,
            ErrorCode::kUnsupportedModel);
}

TEST(PayloadTest, ChoosesTheFormOfTheAnswer) {
  EXPECT_EQ(*AnswerFormOf("", kSafetensorsType), kSafetensorsType);
  EXPECT_EQ(*AnswerFormOf("text/html, Application/JSON;q=1", kSafetensorsType), kOpenInferenceType);
  EXPECT_EQ(*AnswerFormOf("*/*", kOpenInferenceType), kOpenInferenceType);
  EXPECT_EQ(AnswerFormOf("text/html", kOpenInferenceType).status().field, "accept");
  EXPECT_EQ(FormOf({.data = "{}", .content_type = "image/png"}).status().field, "content_type");
  EXPECT_EQ(*FormOf({.data = "{}", .content_type = ""}), kOpenInferenceType);
  EXPECT_EQ(*FormOf({.data = std::string_view("\2\0\0\0\0\0\0\0{}", 10), .content_type = ""}),
            kSafetensorsType);
}

TEST(InputCheckTest, PutsTensorsIntoTheModelsOrderAndRefusesOthers) {
  const std::vector<InputSpec> specs = {{.name = "a", .shape = Shape{-1}},
                                        {.name = "b", .shape = Shape{1}}};
  const auto ask = [&](const std::string& json) {
    auto question = DecodeOpenInference("{\"inputs\": [" + json + "]}");
    EXPECT_TRUE(question.ok());
    std::vector<Tensor> tensors = std::move(question.value().tensors);
    const auto error = CheckInputs(specs, tensors);
    if (error) return error->field + ": " + error->found;
    return tensors[0].name + tensors[1].name;
  };
  const auto tensor = [](const std::string& name, const std::string& data,
                         const std::string& datatype = "FP32", const std::string& shape = "[1]") {
    return R"({"name": ")" + name + R"(", "datatype": ")" + datatype + R"(", "shape": )" + shape +
           R"(, "data": )" + data + "}";
  };
  const std::string a = tensor("a", "[1]"), b = tensor("b", "[2]");
  EXPECT_EQ(ask(b + "," + a), "ab");
  EXPECT_EQ(ask(a), "inputs.b: a");
  EXPECT_EQ(ask(a + "," + b + "," + tensor("c", "[1]")), "inputs.c: a, b, c");
  EXPECT_EQ(ask(a + "," + tensor("b", "[1]", "FP64")), "inputs.b.datatype: FP64");
  EXPECT_EQ(ask(a + "," + tensor("b", "[1, 2]", "FP32", "[2]")), "inputs.b.shape: [2]");
  EXPECT_EQ(ask(a + "," + tensor("b", "[NaN]")), "inputs.b.data: NaN");
  EXPECT_EQ(ask(tensor("a", "[]", "FP32", "[0]") + "," + b), "inputs.a.shape: [0]");
}

TEST(HalfTest, EveryHalfComesBackFromADouble) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    if ((half & 0x7C00) == 0x7C00 && (half & 0x3FF) != 0) continue;  // No number.
    EXPECT_EQ(DoubleToHalf(HalfToDouble(half)), half);
  }
  EXPECT_EQ(DoubleToHalf(65519.999), 0x7BFF);
  EXPECT_EQ(DoubleToHalf(65520), 0x7C00);
  EXPECT_EQ(DoubleToHalf(1 + 0x1p-11), 0x3C00);            // A tie, to even.
  EXPECT_EQ(DoubleToHalf(1 + 0x1p-11 + 0x1p-40), 0x3C01);  // Above it.
  EXPECT_EQ(DoubleToHalf(0x1p-25), 0);
  EXPECT_EQ(DoubleToHalf(0x1.8p-25), 1);
}

}  // namespace
}  // namespace ncn::native
