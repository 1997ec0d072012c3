#pragma once

#include <string>
#include <variant>
#include <vector>

namespace CLI {
class App;
}

namespace ncn::config {

// What a program does instead of starting: print `text` and end with `exit_status`. Status 0 goes
// to standard output (--help, --version), any other to standard error.
struct ExitText {
  std::string text;
  int exit_status = 0;
};

// Either the parsed value or the reason to end at once.
template <typename T>
using Parsed = std::variant<T, ExitText>;

// Prints `exit` where it belongs and returns its status, for `return` in main.
int PrintExit(const ExitText& exit);

// Parses argv with `app`. An unknown flag or subcommand is refused with the nearest known one as a
// hint; a wrong value names the flag and its environment variable. Returns an empty text with
// status 0 when the program should go on.
struct CommandLineResult {
  bool proceed = false;
  ExitText exit;
};
CommandLineResult ParseCommandLine(CLI::App& app, int argc, const char* const* argv);

// The known word nearest to `word` by edit distance, or empty when none is near.
std::string NearestWord(const std::string& word, const std::vector<std::string>& known);

}  // namespace ncn::config
