#include "sandbox/seccomp_json.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "base/strings.h"

namespace ncn::sandbox {
namespace {

using nlohmann::json;

constexpr std::size_t kQuotedBytesMax = 64;

// Watches a parse for keys that an object has twice.
class RepeatedKeys {
 public:
  bool operator()(json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) {
      open_.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      open_.pop_back();
    } else if (event == json::parse_event_t::key) {
      const std::string& key = value.get_ref<const std::string&>();
      if (!open_.back().insert(key).second && found_.empty()) found_ = Quoted(key);
    }
    return true;
  }
  // The first one, quoted; empty when there is none.
  const std::string& found() const { return found_; }

 private:
  std::vector<std::set<std::string>> open_;
  std::string found_;
};

}  // namespace

std::string Quoted(std::string_view text) {
  const std::string_view shown = text.substr(0, kQuotedBytesMax);
  return base::StrCat("\"", absl::CHexEscape(base::ToAbsl(shown)),
                      text.size() > shown.size() ? "…\"" : "\"");
}

absl::StatusOr<json> ParseStrictJson(std::string_view text, std::size_t bytes_max) {
  if (text.size() > bytes_max) {
    return absl::InvalidArgumentError(base::StrCat(
        "the file has ", text.size(), " bytes, more than the ", bytes_max, " that are allowed"));
  }
  RepeatedKeys keys;
  json parsed = json::parse(
      text, [&](int, json::parse_event_t event, json& value) { return keys(event, value); },
      /*allow_exceptions=*/false);
  if (parsed.is_discarded()) return absl::InvalidArgumentError("the file is no well-formed JSON");
  if (!keys.found().empty()) {
    return absl::InvalidArgumentError(
        base::StrCat("an object has the key ", keys.found(), " twice"));
  }
  return parsed;
}

absl::Status JsonField::Error(std::string_view what) const {
  return absl::InvalidArgumentError(
      base::StrCat(place_.empty() ? std::string("the file") : place_, ": ", what));
}

absl::Status JsonField::IsObjectOf(std::initializer_list<std::string_view> known) const {
  if (!value_->is_object()) return Error("must be an object");
  for (const auto& member : value_->items()) {
    if (std::ranges::find(known, member.key()) == known.end()) {
      return Error(base::StrCat("has the unknown key ", Quoted(member.key())));
    }
  }
  return absl::OkStatus();
}

bool JsonField::Has(std::string_view key) const {
  return value_->is_object() && value_->contains(key);
}

absl::StatusOr<JsonField> JsonField::Required(std::string_view key) const {
  if (!Has(key)) return Error(base::StrCat("lacks \"", key, "\""));
  return JsonField(*value_->find(key),
                   place_.empty() ? std::string(key) : base::StrCat(place_, ".", key));
}

absl::StatusOr<std::vector<JsonField>> JsonField::Items(std::size_t items_max) const {
  if (!value_->is_array()) return Error("must be an array");
  if (value_->empty() || value_->size() > items_max) {
    return Error(base::StrCat("must have 1 to ", items_max, " items, has ", value_->size()));
  }
  std::vector<JsonField> items;
  for (const json& item : *value_) {
    items.emplace_back(item, base::StrCat(place_, "[", items.size(), "]"));
  }
  return items;
}

absl::StatusOr<std::vector<std::pair<std::string, JsonField>>> JsonField::Members(
    std::size_t members_max) const {
  if (!value_->is_object()) return Error("must be an object");
  if (value_->empty() || value_->size() > members_max) {
    return Error(base::StrCat("must have 1 to ", members_max, " members, has ", value_->size()));
  }
  std::vector<std::pair<std::string, JsonField>> members;
  for (const auto& member : value_->items()) {
    members.emplace_back(
        member.key(), JsonField(member.value(), base::StrCat(place_, ".", Quoted(member.key()))));
  }
  return members;
}

absl::StatusOr<std::string> JsonField::Text(std::size_t bytes_max) const {
  if (!value_->is_string()) return Error("must be a string");
  const std::string& text = value_->get_ref<const std::string&>();
  if (text.empty() || text.size() > bytes_max) {
    return Error(base::StrCat("must have 1 to ", bytes_max, " bytes, has ", text.size()));
  }
  return text;
}

absl::StatusOr<std::uint64_t> JsonField::Number(std::uint64_t max) const {
  std::uint64_t number = 0;
  if (value_->is_number_unsigned()) {
    number = value_->get<std::uint64_t>();
  } else if (value_->is_string()) {
    const std::string& text = value_->get_ref<const std::string&>();
    const char* end = text.data() + text.size();
    if (!text.starts_with("0x")) return Error("must start with 0x when it is a string");
    auto [rest, error] = std::from_chars(text.data() + 2, end, number, 16);
    if (error != std::errc() || rest != end) return Error("is no hexadecimal number of 64 bits");
  } else {
    return Error("must be a whole number or a string of hexadecimal digits after 0x");
  }
  if (number > max) return Error(base::StrCat("must not be above ", max));
  return number;
}

}  // namespace ncn::sandbox
