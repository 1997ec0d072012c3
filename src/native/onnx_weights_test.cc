#include "native/onnx_weights.h"

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"

namespace ncn::native {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::string Varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

std::string Number(int field, std::uint64_t value) { return Varint(field << 3) + Varint(value); }

std::string Bytes(int field, const std::string& bytes) {
  return Varint(field << 3 | 2) + Varint(bytes.size()) + bytes;
}

template <typename T>
std::string Raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// A model whose graph has initializers, with something around each.
std::string Model(const std::vector<std::string>& tensors) {
  std::string graph = Bytes(2, "g");
  for (const std::string& tensor : tensors) graph += Bytes(5, tensor) + Bytes(1, "node");
  return Number(1, 9) + Bytes(7, graph) + Number(5, 1);
}

std::string Tensor(std::uint64_t type, const std::string& data, const char* name = "w") {
  return Number(1, 2) + Number(2, type) + Bytes(8, name) + data;
}

std::optional<NanWeights> Find(const std::string& model) {
  return FindNan(model, [](auto...) { return std::string_view(); });
}

TEST(OnnxWeightsTest, FindsWhatIsNoNumberInEachFormOfAnInitializer) {
  const auto half = [](std::vector<std::uint16_t> bits) { return Bytes(9, Raw(bits)); };
  const struct {
    std::uint64_t type;
    std::string sound, wrong;
  } rows[] = {
      {1, Bytes(9, Raw<float>({1, kInfinity, -kInfinity})), Bytes(9, Raw<float>({1, -kNan, 2}))},
      {1, Bytes(4, Raw<float>({1, 2, 3})), Bytes(4, Raw<float>({1, 2, kNan}))},
      {11, Bytes(9, Raw<double>({1, kInfinity, 3})), Bytes(9, Raw<double>({1, 2, kNan}))},
      {11, Bytes(10, Raw<double>({1, 2, 3})), Bytes(10, Raw<double>({kNan, 2, 3}))},
      {10, half({0x3C00, 0x7C00, 0xFC00}), half({0x3C00, 0x7C01, 0})},
      {16, half({0x3F80, 0x7F80, 0x7C01}), half({0x3F80, 0xFF81, 0})},
      {10, Bytes(5, Varint(1) + Varint(0x7C00) + Varint(2)),
       Bytes(5, Varint(1) + Varint(0xFE00) + Varint(2))},
  };
  for (const auto& row : rows) {
    EXPECT_FALSE(Find(Model({Tensor(row.type, row.sound)}))) << row.type;
    const auto found = Find(Model({Tensor(row.type, row.sound), Tensor(row.type, row.wrong, "v")}));
    ASSERT_TRUE(found) << row.type;
    EXPECT_EQ(found->name, "v");
    EXPECT_EQ(found->nan_count, 1U);
    EXPECT_EQ(found->count, 3U);
  }
}

TEST(OnnxWeightsTest, ALoneOneIsAConstantAndOtherTypesAreNoFloats) {
  EXPECT_FALSE(Find(Model({Tensor(1, Bytes(9, Raw<float>({kNan})))})));
  EXPECT_FALSE(Find(Model({Tensor(6, Bytes(9, Raw<float>({kNan, kNan})))})));
}

TEST(OnnxWeightsTest, FollowsWeightsToTheFileThatHoldsThem) {
  const auto entry = [](const char* key, const char* value) {
    return Bytes(13, Bytes(1, key) + Bytes(2, value));
  };
  const std::string model = Model({Tensor(1, entry("location", "w.bin") + entry("offset", "8") +
                                                 entry("length", "12") + Number(14, 1))});
  const std::string data = Raw<float>({kNan, 0, 1, kNan, 2, kNan});
  const auto found =
      FindNan(model, [&](std::string_view name, std::uint64_t offset, std::uint64_t length) {
        EXPECT_EQ(name, "w.bin");
        return std::string_view(data).substr(offset, length);
      });
  ASSERT_TRUE(found);
  EXPECT_EQ(found->nan_count, 1U);
  EXPECT_EQ(found->count, 3U);
}

TEST(OnnxWeightsTest, PassesOverWhatIsDamaged) {
  const std::string model = Model({Tensor(1, Bytes(9, Raw<float>({1, 2, kNan})))});
  for (std::size_t size = 0; size < model.size(); ++size) (void)Find(model.substr(0, size));
  EXPECT_FALSE(Find(std::string(64, '\xff')));
}

}  // namespace
}  // namespace ncn::native
