#include "config/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <numeric>

#include "base/strings.h"

namespace ncn::config {
namespace {

std::size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row[b.size()];
}

// The app that the words of the command line ended in: the chosen subcommand, or the app itself.
const CLI::App* DeepestParsed(const CLI::App* app) {
  for (const auto subcommands = app->get_subcommands(); const CLI::App* subcommand : subcommands) {
    return DeepestParsed(subcommand);
  }
  return app;
}

// "ncn wallet new": the app and the subcommands that the words of the command line ended in.
std::string CommandPath(const CLI::App& app) {
  const CLI::App* const deepest = DeepestParsed(&app);
  std::string path = deepest->get_name();
  for (const CLI::App* up = deepest; up != &app; up = up->get_parent()) {
    path = base::StrCat(up->get_parent()->get_name(), " ", path);
  }
  return path;
}

std::vector<std::string> KnownWords(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
  }
  for (const CLI::App* subcommand : app.get_subcommands({}))
    words.push_back(subcommand->get_name());
  return words;
}

std::string Describe(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* const command = DeepestParsed(&app);
  // CLI11 looks for missing flags before unknown ones; a mistyped required flag is both.
  if (const std::vector<std::string> extras = command->remaining(true); !extras.empty()) {
    const std::string word = extras.front().substr(0, extras.front().find('='));
    const std::string nearest = NearestWord(word, KnownWords(*command));
    return base::StrCat("unknown ", word.starts_with("-") ? "flag " : "argument ", word,
                        nearest.empty() ? "" : base::StrCat("; did you mean ", nearest, "?"));
  }
  std::string text = error.what();
  for (const CLI::Option* option : command->get_options()) {
    if (!option->get_envname().empty() && text.find(option->get_name()) != std::string::npos &&
        std::getenv(option->get_envname().c_str()) != nullptr) {
      text += base::StrCat(" (the environment variable ", option->get_envname(), " is set)");
    }
  }
  return text;
}

}  // namespace

int PrintExit(const ExitText& exit) {
  std::fputs(exit.text.c_str(), exit.exit_status == 0 ? stdout : stderr);
  return exit.exit_status;
}

std::string NearestWord(const std::string& word, const std::vector<std::string>& known) {
  const auto nearest =
      std::min_element(known.begin(), known.end(), [&](const std::string& a, const std::string& b) {
        return EditDistance(word, a) < EditDistance(word, b);
      });
  if (nearest == known.end()) return "";
  const bool near = EditDistance(word, *nearest) <= std::max<std::size_t>(2, word.size() / 3);
  return near || (word.size() > 4 && nearest->starts_with(word)) ? *nearest : "";
}

CommandLineResult ParseCommandLine(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
    return {.proceed = true, .exit = {}};
  } catch (const CLI::CallForAllHelp&) {
    return {.exit = {app.help("", CLI::AppFormatMode::All), 0}};
  } catch (const CLI::CallForHelp&) {
    return {.exit = {app.help(), 0}};
  } catch (const CLI::CallForVersion& version) {
    return {.exit = {base::StrCat(version.what(), "\n"), 0}};
  } catch (const CLI::ParseError& error) {
    return {.exit = {base::StrCat("Error: ", Describe(app, error), "\nTry '", CommandPath(app),
                                  " --help'.\n"),
                     2}};
  }
}

}  // namespace ncn::config
