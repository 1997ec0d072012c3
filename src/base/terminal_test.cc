#include "base/terminal.h"

#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace ncn::base {
namespace {

constexpr int kPatienceMs = 10000;

class TerminalTest : public testing::Test {
 protected:
  TerminalTest() {
    ::setenv("TERM", "xterm", 1);
    winsize size{.ws_row = 24, .ws_col = 60, .ws_xpixel = 0, .ws_ypixel = 0};
    int screen = -1;
    int program = -1;
    EXPECT_EQ(::openpty(&screen, &program, nullptr, nullptr, &size), 0);
    screen_ = UniqueFd(screen);
    stream_ = ::fdopen(program, "w");
    std::setvbuf(stream_, nullptr, _IOFBF, BUFSIZ);
  }
  void TearDown() override { std::fclose(stream_); }

  // Takes from the screen what was sent since the last call. A terminal hands it on in parts.
  void ExpectSent(std::string_view wanted) {
    std::string sent(wanted.size(), '\0');
    std::size_t size = 0;
    pollfd ready{.fd = screen_.get(), .events = POLLIN, .revents = 0};
    while (size < sent.size() && ::poll(&ready, 1, kPatienceMs) == 1) {
      const ssize_t count = ::read(screen_.get(), sent.data() + size, sent.size() - size);
      if (count <= 0) break;
      size += static_cast<std::size_t>(count);
    }
    sent.resize(size);
    EXPECT_EQ(sent, wanted);
  }

  UniqueFd screen_;
  std::FILE* stream_ = nullptr;
};

TEST_F(TerminalTest, KeepsItsFooterBelowWhatIsPrinted) {
  Terminal terminal(stream_);
  EXPECT_EQ(terminal.columns(), 59);
  terminal.SetFooter({"one", "two"});
  ExpectSent("one\r\ntwo\r\n");
  terminal.PrintAbove([&] { std::fputs("said\n", stream_); });
  ExpectSent("\033[2A\033[Jsaid\r\none\r\ntwo\r\n");
  terminal.SetFooter({"three"});
  ExpectSent("\033[2A\033[Jthree\r\n");
  terminal.SetFooter({});
  ExpectSent("\033[1A\033[J");
}

TEST_F(TerminalTest, HasNoFooterWhereTheCursorCannotMove) {
  ::setenv("TERM", "dumb", 1);
  Terminal terminal(stream_);
  EXPECT_EQ(terminal.columns(), 0);
  terminal.SetFooter({"one"});
  terminal.PrintAbove([&] { std::fputs("said\n", stream_); });
  ExpectSent("said\r\n");
}

TEST(TerminalFileTest, HasNoFooterInAFile) {
  std::FILE* const file = std::tmpfile();
  Terminal terminal(file);
  EXPECT_EQ(terminal.columns(), 0);
  terminal.SetFooter({"one"});
  EXPECT_EQ(std::ftell(file), 0);
  std::fclose(file);
}

}  // namespace
}  // namespace ncn::base
