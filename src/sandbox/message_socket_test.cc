#include "sandbox/message_socket.h"

#include "gtest/gtest.h"

namespace ncn::sandbox {
namespace {

TEST(MessageSocketTest, LastWordsArriveFromOneThatEndedWithoutReadingOurs) {
  auto ends = MessageSocketPair();
  ASSERT_TRUE(ends.ok()) << ends.status();
  ASSERT_TRUE(SendMessage(ends->first.get(), "never read", {}).ok());
  ASSERT_TRUE(SendMessage(ends->second.get(), "last", {}).ok());
  ASSERT_TRUE(SendMessage(ends->second.get(), "words", {}).ok());
  ends->second.reset();
  for (const char* word : {"last", "words"}) {
    const auto message = ReceiveMessage(ends->first.get(), 100, 0, 0);
    ASSERT_TRUE(message.ok()) << message.status();
    EXPECT_EQ(message->bytes, word);
  }
  EXPECT_TRUE(absl::IsOutOfRange(ReceiveMessage(ends->first.get(), 100, 0, 0).status()));
}

}  // namespace
}  // namespace ncn::sandbox
