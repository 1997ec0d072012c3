#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace ncn::sandbox {

// A JSON value and the place where it stands ("entries[3].reason"), for reading with errors that
// name the place. Borrows the value, which must outlive it.
class JsonField {
 public:
  JsonField(const nlohmann::json& value, std::string place)
      : value_(&value), place_(std::move(place)) {}

  const std::string& place() const { return place_; }

  // OK when this is an object whose keys are all among `known`.
  absl::Status IsObjectOf(std::initializer_list<std::string_view> known) const;
  // Of an object.
  bool Has(std::string_view key) const;
  // Of an object; InvalidArgument when there is no such key.
  absl::StatusOr<JsonField> Required(std::string_view key) const;
  // The members of an array of 1 to `items_max` items.
  absl::StatusOr<std::vector<JsonField>> Items(std::size_t items_max) const;
  // The members of an object of 1 to `members_max`, with their keys.
  absl::StatusOr<std::vector<std::pair<std::string, JsonField>>> Members(
      std::size_t members_max) const;
  // A string of 1 to `bytes_max` bytes.
  absl::StatusOr<std::string> Text(std::size_t bytes_max) const;
  // A whole number from 0 to `max`, or the same as a string of hexadecimal digits after "0x".
  absl::StatusOr<std::uint64_t> Number(std::uint64_t max) const;

  // InvalidArgument "<place>: <what>".
  absl::Status Error(std::string_view what) const;

 private:
  const nlohmann::json* value_;
  std::string place_;
};

// Parses a JSON text of at most `bytes_max` bytes. Unlike the plain parser it refuses an object
// that has one key twice, of which only the last would count.
absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text, std::size_t bytes_max);

// `text` for an error message: escaped and cut.
std::string Quoted(std::string_view text);

}  // namespace ncn::sandbox
