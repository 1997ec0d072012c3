#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "models/tomlplusplus.h"

namespace ncn::models {

// Parses TOML text. InvalidArgument with line and column, also for nesting without bound.
absl::StatusOr<toml::table> ParseToml(std::string_view text);

// A TOML table whose values are checked as they are taken. A value that is missing is its type's
// default; the first one that is wrong is kept in the status that all tables of a document share,
// as InvalidArgument "KEY: expected …, found …", and from then on everything is a default.
class TomlTable {
 public:
  // `table` is null for one that is missing. `path` is where it is, for messages: "model".
  TomlTable(const toml::table* table, std::string path, absl::Status& status)
      : table_(table), path_(std::move(path)), status_(status) {}

  const std::string& path() const { return path_; }
  const toml::table* table() const { return table_; }
  bool Has(std::string_view key) const;

  // Refuses any key that is not among `known`, proposing the nearest.
  void AllowOnly(std::span<const std::string_view> known) const;

  TomlTable Table(std::string_view key) const;
  std::vector<TomlTable> Tables(std::string_view key, std::size_t count_max) const;
  std::string Text(std::string_view key) const;
  std::vector<std::string> Texts(std::string_view key) const;
  bool Flag(std::string_view key) const;
  // A text that is one of `choices`; `fallback` when missing.
  std::string Choice(std::string_view key, std::span<const std::string_view> choices,
                     std::string_view fallback) const;
  // A whole number within the bounds; `fallback` when missing.
  std::int64_t Integer(std::string_view key, std::int64_t low, std::int64_t high,
                       std::int64_t fallback) const;
  std::vector<std::int64_t> Integers(std::string_view key, std::size_t count_max, std::int64_t low,
                                     std::int64_t high) const;
  // A finite number; a list of them, where a single number stands for a list of one.
  double Number(std::string_view key, double fallback) const;
  std::vector<double> Numbers(std::string_view key, std::vector<double> fallback) const;

  // Records that `key` is wrong. `found` may be anything; it is shortened and escaped.
  void Wrong(std::string_view key, std::string_view expected, std::string_view found) const;

 private:
  // The value of `key`; null when missing, and when something is wrong already.
  const toml::node* Find(std::string_view key) const;
  std::string At(std::string_view key) const;
  void WrongNode(std::string_view key, std::string_view expected, const toml::node& found) const;

  const toml::table* table_;
  std::string path_;
  absl::Status& status_;
};

}  // namespace ncn::models
