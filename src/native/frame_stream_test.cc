#include "native/frame_stream.h"

#include <sys/socket.h>

#include <thread>

#include "base/files.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace ncn::native {
namespace {

class FrameStreamTest : public testing::Test {
 protected:
  FrameStreamTest() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    node_.reset(ends[0]);
    child_.reset(ends[1]);
  }
  void Say(std::string_view bytes) { EXPECT_TRUE(base::WriteAll(node_.get(), bytes).ok()); }

  base::UniqueFd node_, child_;
};

TEST_F(FrameStreamTest, CarriesWhatIsLargerThanAnyBuffer) {
  const std::string body(8 << 20, 'x');
  std::jthread node([&] {
    EXPECT_TRUE(FrameStream(node_.get()).Write("{\"a\": 1}", body).ok());
    node_.reset();
  });
  FrameStream stream(child_.get());
  const auto header = stream.ReadHeader();
  ASSERT_TRUE(header.ok() && header->has_value());
  EXPECT_EQ((*header)->text, "{\"a\": 1}");
  EXPECT_EQ(*stream.ReadBody((*header)->body_bytes), body);
  EXPECT_FALSE(stream.ReadHeader()->has_value());
}

TEST_F(FrameStreamTest, RefusesWhatIsCutOffOrTooLarge) {
  Say(std::string("\xFF\xFF\xFF\xFF\0\0\0\0\0\0\0\0", 12));
  EXPECT_TRUE(absl::IsInvalidArgument(FrameStream(child_.get()).ReadHeader().status()));
  Say(std::string("\2\0\0\0\0\0\0\0\0\0\0\x7F{}", 14));
  EXPECT_TRUE(absl::IsInvalidArgument(FrameStream(child_.get()).ReadHeader().status()));
}

TEST_F(FrameStreamTest, AnEndWithinAFrameIsAnError) {
  Say(std::string("\2\0\0\0", 4));
  node_.reset();
  EXPECT_TRUE(absl::IsInvalidArgument(FrameStream(child_.get()).ReadHeader().status()));
}

}  // namespace
}  // namespace ncn::native
