#pragma once

#include <cstddef>
#include <cstdio>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace ncn::base {

// A stream that may be a terminal, with lines that stay at its end while others are printed above
// them. Without a terminal, or on one that cannot move its cursor (TERM=dumb), nothing is ever
// kept at the end. Thread-safe.
class Terminal {
 public:
  // That of the process; lives for ever, so that threads may print while the process exits.
  static Terminal& StandardError();

  // `stream` outlives this.
  explicit Terminal(std::FILE* stream);
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // How wide a line of SetFooter may be; 0: there can be none.
  std::size_t columns() const;

  // Replaces the lines at the end; none: takes them away.
  void SetFooter(std::vector<std::string> lines);

  // Calls `print`, which prints whole lines to the stream, so that they stand above the footer.
  void PrintAbove(const std::function<void()>& print);

 private:
  std::string EraseText() const;
  std::string FooterText() const;
  void Write(const std::string& text);

  std::FILE* const stream_;
  const bool has_cursor_;
  std::mutex mutex_;
  std::vector<std::string> footer_;
};

}  // namespace ncn::base
