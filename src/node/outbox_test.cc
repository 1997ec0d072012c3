#include "node/outbox.h"

#include "gtest/gtest.h"

namespace ncn::node {
namespace {

std::shared_ptr<const inference::InferenceResponse> Response(const std::string& id,
                                                             std::size_t bytes) {
  return std::make_shared<const inference::InferenceResponse>(inference::InferenceResponse{
      .request_id = *inference::RequestId::Parse(id),
      .model = *inference::ModelId::Parse("m"),
      .outcome = inference::InferenceResult{.output = {std::string(bytes, 'x'), ""}}});
}

inference::RequestId Id(const std::string& id) { return *inference::RequestId::Parse(id); }

TEST(MemoryOutboxTest, KeepsAnswersInOrderUntilTheyAreAcknowledged) {
  MemoryOutbox outbox({});
  ASSERT_TRUE(outbox.Put(Response("b", 1)).ok());
  ASSERT_TRUE(outbox.Put(Response("a", 2)).ok());
  EXPECT_EQ(outbox.Pending(), (std::vector<inference::RequestId>{Id("b"), Id("a")}));
  EXPECT_EQ(outbox.usage().bytes, 3U);
  outbox.Remove(Id("b"));
  outbox.Remove(Id("b"));
  EXPECT_EQ(outbox.Find(Id("b")), nullptr);
  EXPECT_NE(outbox.Find(Id("a")), nullptr);
  EXPECT_EQ(outbox.usage().bytes, 2U);
}

TEST(MemoryOutboxTest, TheFirstAnswerStays) {
  MemoryOutbox outbox({});
  ASSERT_TRUE(outbox.Put(Response("a", 1)).ok());
  ASSERT_TRUE(outbox.Put(Response("a", 9)).ok());
  EXPECT_EQ(outbox.Find(Id("a"))->result().output.bytes.size(), 1U);
  EXPECT_EQ(outbox.usage().count, 1U);
}

TEST(MemoryOutboxTest, SaysWhenItHasNoRoomButLosesNothing) {
  MemoryOutbox outbox({.count_max = 2, .bytes_max = 100});
  ASSERT_TRUE(outbox.Put(Response("a", 1)).ok());
  EXPECT_TRUE(outbox.HasRoom());
  ASSERT_TRUE(outbox.Put(Response("b", 99)).ok());
  EXPECT_FALSE(outbox.HasRoom());
  ASSERT_TRUE(outbox.Put(Response("c", 1)).ok());
  EXPECT_EQ(outbox.usage().count, 3U);
  outbox.Remove(Id("b"));
  outbox.Remove(Id("c"));
  EXPECT_TRUE(outbox.HasRoom());
}

}  // namespace
}  // namespace ncn::node
