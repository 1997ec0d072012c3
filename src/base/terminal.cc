#include "base/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/strings.h"

namespace ncn::base {
namespace {

bool HasCursor(std::FILE* stream) {
  const char* const kind = std::getenv("TERM");
  return ::isatty(::fileno(stream)) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

}  // namespace

Terminal& Terminal::StandardError() {
  static Terminal* const terminal = new Terminal(stderr);
  return *terminal;
}

Terminal::Terminal(std::FILE* stream) : stream_(stream), has_cursor_(HasCursor(stream)) {}

std::size_t Terminal::columns() const {
  if (!has_cursor_) return 0;
  winsize size{};
  ::ioctl(::fileno(stream_), TIOCGWINSZ, &size);
  // The last column stays free: a terminal may break the line behind it.
  return (size.ws_col > 1 ? size.ws_col : 80) - 1;
}

void Terminal::SetFooter(std::vector<std::string> lines) {
  std::lock_guard lock(mutex_);
  if (!has_cursor_ || lines == footer_) return;
  const std::string erase = EraseText();
  footer_ = std::move(lines);
  Write(erase + FooterText());
}

void Terminal::PrintAbove(const std::function<void()>& print) {
  std::lock_guard lock(mutex_);
  Write(EraseText());
  print();
  Write(FooterText());
}

std::string Terminal::EraseText() const {
  if (footer_.empty()) return "";
  return StrCat("\033[", footer_.size(), "A\033[J");
}

std::string Terminal::FooterText() const {
  std::string text;
  for (const std::string& line : footer_) text += StrCat(line, "\n");
  return text;
}

void Terminal::Write(const std::string& text) {
  if (!text.empty()) std::fputs(text.c_str(), stream_);
  std::fflush(stream_);
}

}  // namespace ncn::base
