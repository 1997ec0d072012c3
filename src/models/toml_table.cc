#include "models/toml_table.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/escaping.h"
#include "base/strings.h"

namespace ncn::models {
namespace {

// Dotted keys nest without the parser's own bound, and stand on one line.
constexpr int kDotsPerLineMax = 500;
constexpr std::size_t kShownBytesMax = 80;

std::string Shown(std::string_view text) {
  const bool whole = text.size() <= kShownBytesMax;
  return base::StrCat("'", absl::CHexEscape(base::ToAbsl(text.substr(0, kShownBytesMax))),
                      whole ? "'" : "…'");
}

// The number of characters to insert, remove or replace to make `b` of `a`.
std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

// The known key that is most like `key`; empty when none is near.
std::string_view Nearest(std::string_view key, std::span<const std::string_view> known) {
  std::string_view nearest;
  std::size_t least = 3;
  for (const std::string_view candidate : known) {
    const std::size_t distance = EditDistance(key.substr(0, kShownBytesMax), candidate);
    if (distance < least && distance < candidate.size()) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string Join(std::span<const std::string_view> words) {
  std::string joined;
  for (const std::string_view word : words) {
    joined += base::StrCat(joined.empty() ? "" : ", ", word);
  }
  return joined;
}

std::string Describe(const toml::node& node) {
  if (const auto* text = node.as_string()) return Shown(text->get());
  std::ostringstream type;
  type << node.type();
  if (const auto* number = node.as_integer()) {
    return base::StrCat("the integer ", number->get());
  }
  return base::StrCat("a value of type ", type.str());
}

}  // namespace

absl::StatusOr<toml::table> ParseToml(std::string_view text) {
  int line = 1;
  int dots = 0;
  for (const char c : text) {
    if (c == '\n') {
      ++line;
      dots = 0;
    }
    if (c == '.' && ++dots > kDotsPerLineMax) {
      return absl::InvalidArgumentError(
          base::StrCat("line ", line, " has more than ", kDotsPerLineMax,
                       " dots, which could be keys nested that deep; break the line"));
    }
  }
  std::optional<toml::parse_result> result;
  try {
    result = toml::parse(text);
  } catch (const BrokenTomlInvariant&) {
    return absl::InvalidArgumentError("is not TOML, in a way that the parser cannot place");
  }
  if (*result) return std::move(*result).table();
  const toml::source_position where = result->error().source().begin;
  return absl::InvalidArgumentError(
      base::StrCat("is not TOML at line ", where.line, ", column ", where.column, ": ",
                   absl::CHexEscape(base::ToAbsl(result->error().description().substr(0, 200)))));
}

bool TomlTable::Has(std::string_view key) const { return Find(key) != nullptr; }

void TomlTable::AllowOnly(std::span<const std::string_view> known) const {
  if (table_ == nullptr || !status_.ok()) return;
  for (const auto& [key, value] : *table_) {
    if (std::find(known.begin(), known.end(), key.str()) != known.end()) continue;
    const std::string_view nearest = Nearest(key.str(), known);
    status_ = absl::InvalidArgumentError(base::StrCat(
        "unknown key ", Shown(key.str()), path_.empty() ? "" : base::StrCat(" in [", path_, "]"),
        nearest.empty() ? "" : base::StrCat("; did you mean '", nearest, "'?"),
        " (known: ", Join(known), ")"));
    return;
  }
}

TomlTable TomlTable::Table(std::string_view key) const {
  const toml::node* node = Find(key);
  if (node != nullptr && !node->is_table()) WrongNode(key, "a table", *node);
  return {node == nullptr ? nullptr : node->as_table(), At(key), status_};
}

std::vector<TomlTable> TomlTable::Tables(std::string_view key, std::size_t count_max) const {
  std::vector<TomlTable> tables;
  const toml::node* node = Find(key);
  if (node == nullptr) return tables;
  const toml::array* array = node->as_array();
  if (array == nullptr || array->size() > count_max) {
    WrongNode(key, base::StrCat("at most ", count_max, " tables, each as [[", key, "]]"), *node);
    return tables;
  }
  for (std::size_t i = 0; i < array->size(); ++i) {
    const toml::node& item = *array->get(i);
    if (!item.is_table()) WrongNode(key, base::StrCat("tables, each as [[", key, "]]"), item);
    tables.emplace_back(item.as_table(), base::StrCat(At(key), "[", i, "]"), status_);
  }
  return tables;
}

std::string TomlTable::Text(std::string_view key) const {
  const toml::node* node = Find(key);
  if (node == nullptr) return "";
  if (const auto* text = node->as_string()) return text->get();
  WrongNode(key, "a text in quotes", *node);
  return "";
}

std::vector<std::string> TomlTable::Texts(std::string_view key) const {
  std::vector<std::string> texts;
  const toml::node* node = Find(key);
  if (node == nullptr) return texts;
  if (!node->is_array()) WrongNode(key, "a list of texts", *node);
  if (!node->is_array()) return texts;
  for (const toml::node& item : *node->as_array()) {
    if (!item.is_string()) {
      WrongNode(key, "a list of texts", item);
      return {};
    }
    texts.push_back(item.as_string()->get());
  }
  return texts;
}

bool TomlTable::Flag(std::string_view key) const {
  const toml::node* node = Find(key);
  if (node == nullptr) return false;
  if (const auto* flag = node->as_boolean()) return flag->get();
  WrongNode(key, "true or false", *node);
  return false;
}

std::string TomlTable::Choice(std::string_view key, std::span<const std::string_view> choices,
                              std::string_view fallback) const {
  if (!Has(key)) return std::string(fallback);
  std::string text = Text(key);
  if (std::find(choices.begin(), choices.end(), text) != choices.end()) return text;
  Wrong(key, base::StrCat("one of ", Join(choices)), text);
  return std::string(fallback);
}

std::int64_t TomlTable::Integer(std::string_view key, std::int64_t low, std::int64_t high,
                                std::int64_t fallback) const {
  const toml::node* node = Find(key);
  if (node == nullptr) return fallback;
  const auto* integer = node->as_integer();
  if (integer != nullptr && integer->get() >= low && integer->get() <= high) return integer->get();
  WrongNode(key, base::StrCat("a whole number from ", low, " to ", high), *node);
  return fallback;
}

std::vector<std::int64_t> TomlTable::Integers(std::string_view key, std::size_t count_max,
                                              std::int64_t low, std::int64_t high) const {
  std::vector<std::int64_t> integers;
  const toml::node* node = Find(key);
  if (node == nullptr) return integers;
  const std::string expected =
      base::StrCat("a list of at most ", count_max, " whole numbers from ", low, " to ", high);
  const toml::array* array = node->as_array();
  if (array == nullptr || array->size() > count_max) {
    WrongNode(key, expected, *node);
    return integers;
  }
  for (const toml::node& item : *array) {
    const auto* integer = item.as_integer();
    if (integer == nullptr || integer->get() < low || integer->get() > high) {
      WrongNode(key, expected, item);
      return {};
    }
    integers.push_back(integer->get());
  }
  return integers;
}

double TomlTable::Number(std::string_view key, double fallback) const {
  const std::vector<double> numbers = Numbers(key, {fallback});
  if (numbers.size() == 1) return numbers.front();
  Wrong(key, "one number", "a list");
  return fallback;
}

std::vector<double> TomlTable::Numbers(std::string_view key, std::vector<double> fallback) const {
  const toml::node* node = Find(key);
  if (node == nullptr) return fallback;
  toml::array single;
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    node->visit([&](const auto& value) { single.push_back(value); });
    array = &single;
  }
  std::vector<double> numbers;
  for (const toml::node& item : *array) {
    const std::optional<double> number = item.is_number() ? item.value<double>() : std::nullopt;
    if (!number || !std::isfinite(*number)) {
      WrongNode(key, "finite numbers", item);
      return fallback;
    }
    numbers.push_back(*number);
  }
  return numbers;
}

void TomlTable::Wrong(std::string_view key, std::string_view expected,
                      std::string_view found) const {
  if (!status_.ok()) return;
  status_ = absl::InvalidArgumentError(
      base::StrCat(At(key), ": expected ", expected, ", found ", Shown(found)));
}

const toml::node* TomlTable::Find(std::string_view key) const {
  return table_ == nullptr || !status_.ok() ? nullptr : table_->get(key);
}

std::string TomlTable::At(std::string_view key) const {
  return path_.empty() ? std::string(key) : base::StrCat(path_, ".", key);
}

void TomlTable::WrongNode(std::string_view key, std::string_view expected,
                          const toml::node& found) const {
  if (!status_.ok()) return;
  status_ = absl::InvalidArgumentError(
      base::StrCat(At(key), ": expected ", expected, ", found ", Describe(found)));
}

}  // namespace ncn::models
