#include "base/logging.h"

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "base/terminal.h"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/stdout_color_sinks.h"

namespace ncn::base {
namespace {

using spdlog::level::level_enum;

thread_local std::string current_request_id;

// %Q in the pattern: " [request-id]", or nothing outside of a request.
class RequestIdFlag final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg&, const std::tm&, spdlog::memory_buf_t& out) override {
    if (current_request_id.empty()) return;
    const std::string text = base::StrCat(" [", current_request_id, "]");
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<RequestIdFlag>();
  }
};

struct Directive {
  std::string target;  // Empty: every target.
  level_enum level;
};

std::optional<level_enum> ParseLevel(std::string_view text) {
  const std::string level = absl::AsciiStrToLower(ToAbsl(text));
  if (level == "trace") return level_enum::trace;
  if (level == "debug") return level_enum::debug;
  if (level == "info") return level_enum::info;
  if (level == "warn" || level == "warning") return level_enum::warn;
  if (level == "error") return level_enum::err;
  if (level == "off") return level_enum::off;
  return std::nullopt;
}

absl::StatusOr<std::vector<Directive>> ParseFilter(std::string_view filter) {
  std::vector<Directive> directives;
  for (const absl::string_view piece : absl::StrSplit(ToAbsl(filter), ',')) {
    const std::string_view part = ToStd(absl::StripAsciiWhitespace(piece));
    if (part.empty()) continue;
    const std::size_t equals = part.find('=');
    const bool bare = equals == std::string_view::npos;
    const std::string_view target = part.substr(0, equals);
    const std::optional<level_enum> level = ParseLevel(bare ? part : part.substr(equals + 1));
    if (bare) {
      directives.push_back(level ? Directive{"", *level}
                                 : Directive{std::string(part), level_enum::trace});
    } else if (level && !target.empty()) {
      directives.push_back({std::string(target), *level});
    } else {
      return absl::InvalidArgumentError(
          base::StrCat("log filter directive '", part,
                       "' is not LEVEL or TARGET=LEVEL with a level of trace, debug, info, warn, "
                       "error, off"));
    }
  }
  return directives;
}

bool Covers(std::string_view target, std::string_view logger) {
  return target.empty() || target == logger ||
         (logger.starts_with(target) && logger.substr(target.size()).starts_with("::"));
}

level_enum LevelFor(const std::vector<Directive>& directives, std::string_view logger) {
  level_enum level = level_enum::info;
  std::size_t best = 0;
  for (const Directive& directive : directives) {
    if (Covers(directive.target, logger) && directive.target.size() >= best) {
      best = directive.target.size();
      level = directive.level;
    }
  }
  return level;
}

// Standard error in colours; what is kept at a terminal's end stays there.
class TerminalSink final : public spdlog::sinks::ansicolor_stderr_sink_mt {
 public:
  void log(const spdlog::details::log_msg& message) override {
    Terminal::StandardError().PrintAbove([&] { ansicolor_sink::log(message); });
  }
};

// All loggers, made at first use. Lives for ever, so that threads may log while the process exits.
class Registry {
 public:
  Registry() : sink_(std::make_shared<TerminalSink>()) {
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<RequestIdFlag>('Q').set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %n%Q %v");
    sink_->set_formatter(std::move(formatter));
  }

  spdlog::logger& Get(std::string_view room) {
    std::lock_guard lock(mutex_);
    auto found = loggers_.find(room);
    if (found == loggers_.end()) {
      const std::string name = base::StrCat("compute_node::", room);
      auto logger = std::make_unique<spdlog::logger>(name, sink_);
      logger->set_level(LevelFor(directives_, name));
      logger->flush_on(level_enum::trace);
      found = loggers_.emplace(room, std::move(logger)).first;
    }
    return *found->second;
  }

  void SetDirectives(std::vector<Directive> directives) {
    std::lock_guard lock(mutex_);
    directives_ = std::move(directives);
    for (auto& [room, logger] : loggers_) logger->set_level(LevelFor(directives_, logger->name()));
  }

 private:
  const spdlog::sink_ptr sink_;
  std::mutex mutex_;
  std::vector<Directive> directives_;
  std::map<std::string, std::unique_ptr<spdlog::logger>, std::less<>> loggers_;
};

Registry& Loggers() {
  static Registry* const registry = new Registry;
  return *registry;
}

}  // namespace

spdlog::logger& Log(std::string_view room) { return Loggers().Get(room); }

absl::Status ConfigureLogging(std::string_view filter) {
  ASSIGN_OR_RETURN(std::vector<Directive> directives, ParseFilter(filter));
  Loggers().SetDirectives(std::move(directives));
  return absl::OkStatus();
}

ScopedRequestId::ScopedRequestId(std::string_view request_id)
    : previous_(std::exchange(current_request_id, std::string(request_id))) {}

ScopedRequestId::~ScopedRequestId() { current_request_id = std::move(previous_); }

}  // namespace ncn::base
