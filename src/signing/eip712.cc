#include "signing/eip712.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "signing/address.h"
#include "signing/eip712_integer.h"
#include "signing/keccak.h"

namespace ncn::signing {
namespace {

using nlohmann::json;

constexpr std::size_t kTypesMax = 32;
constexpr std::size_t kFieldsMax = 64;  // Per type.
constexpr std::size_t kNameBytesMax = 64;
constexpr int kDepthMax = 16;  // Of nested structs and arrays; also ends recursive types.
constexpr char kDomainType[] = "EIP712Domain";

struct Field {
  std::string name;
  std::string type;
  friend bool operator==(const Field&, const Field&) = default;
};
using Types = std::map<std::string, std::vector<Field>, std::less<>>;

// The fields that a domain may have, in the order of the standard.
const std::array<Field, 5> kDomainFields = {{{"name", "string"},
                                             {"version", "string"},
                                             {"chainId", "uint256"},
                                             {"verifyingContract", "address"},
                                             {"salt", "bytes32"}}};

absl::Status Wrong(std::string_view path, std::string_view what) {
  return absl::InvalidArgumentError(
      base::StrCat("typed data: ", absl::CHexEscape(base::ToAbsl(path.substr(0, 256))), " ", what));
}

bool IsIdentifier(std::string_view text) {
  return !text.empty() && text.size() <= kNameBytesMax &&
         !absl::ascii_isdigit(static_cast<unsigned char>(text.front())) &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$';
         });
}

// N of "uint256" for the prefix "uint"; empty unless it is decimal without a leading zero.
std::optional<int> SizeSuffix(std::string_view type, std::string_view prefix) {
  if (!type.starts_with(prefix)) return std::nullopt;
  const std::string_view digits = type.substr(prefix.size());
  int size = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.front() == '0' ||
      size < 1) {
    return std::nullopt;
  }
  return size;
}

// The type of an array's elements; empty when `type` is no array.
std::optional<std::string_view> ElementType(std::string_view type) {
  const std::size_t bracket = type.rfind('[');
  if (!type.ends_with(']') || bracket == std::string_view::npos) return std::nullopt;
  return type.substr(0, bracket);
}

std::string_view BaseType(std::string_view type) { return type.substr(0, type.find('[')); }

absl::StatusOr<std::vector<Field>> ParseFields(const std::string& type, const json& fields) {
  if (!fields.is_array() || fields.size() > kFieldsMax) {
    return Wrong(type, base::StrCat("is not a list of at most ", kFieldsMax, " fields"));
  }
  std::vector<Field> parsed;
  std::set<std::string> names;
  for (const json& field : fields) {
    if (!field.is_object() || field.size() != 2 || !field.contains("name") ||
        !field.contains("type") || !field["name"].is_string() || !field["type"].is_string()) {
      return Wrong(type, "has a field that is not {\"name\", \"type\"}");
    }
    parsed.push_back({field["name"].get<std::string>(), field["type"].get<std::string>()});
    const Field& added = parsed.back();
    if (!IsIdentifier(added.name) || !names.insert(added.name).second) {
      return Wrong(type, "has a field without a name of its own");
    }
    if (!IsIdentifier(BaseType(added.type)) || added.type.size() > kNameBytesMax) {
      return Wrong(type + "." + added.name, "has no valid type");
    }
  }
  return parsed;
}

absl::StatusOr<Types> ParseTypes(const json& types) {
  if (!types.is_object() || types.size() > kTypesMax) {
    return Wrong("types", base::StrCat("is not an object of at most ", kTypesMax, " types"));
  }
  Types parsed;
  for (const auto& [name, fields] : types.items()) {
    if (!IsIdentifier(name)) return Wrong(name, "is not the name of a type");
    ASSIGN_OR_RETURN(parsed[name], ParseFields(name, fields));
  }
  return parsed;
}

class Encoder {
 public:
  explicit Encoder(const Types& types) : types_(types) {}

  absl::StatusOr<base::Digest> HashStruct(std::string_view type, const json& value,
                                          const std::string& path, int depth) {
    const auto found = types_.find(type);
    if (found == types_.end()) {
      return Wrong(path, base::StrCat("has the unknown type ", type.substr(0, kNameBytesMax)));
    }
    if (!value.is_object()) return Wrong(path, "is not an object");
    std::string encoded(base::AsBytes(TypeHash(found->first)));
    for (const Field& field : found->second) {
      const auto member = value.find(field.name);
      if (member == value.end()) return Wrong(path + "." + field.name, "is missing");
      ASSIGN_OR_RETURN(const base::Digest word,
                       Encode(field.type, *member, path + "." + field.name, depth + 1));
      encoded += base::AsBytes(word);
    }
    if (value.size() != found->second.size()) {
      return Wrong(path, "has keys that its type does not name, so they would not be signed");
    }
    return Keccak256(encoded);
  }

 private:
  absl::StatusOr<base::Digest> Encode(std::string_view type, const json& value,
                                      const std::string& path, int depth) {
    if (depth > kDepthMax) {
      return Wrong(path, base::StrCat("is nested more than ", kDepthMax, " levels deep"));
    }
    if (const auto element = ElementType(type)) {
      return EncodeArray(type, *element, value, path, depth);
    }
    if (types_.contains(type)) return HashStruct(type, value, path, depth);
    return EncodeAtom(type, value, path);
  }

  absl::StatusOr<base::Digest> EncodeArray(std::string_view type, std::string_view element,
                                           const json& value, const std::string& path, int depth) {
    if (!value.is_array()) return Wrong(path, "is not a list");
    std::string_view length = type.substr(element.size());
    if (length != "[]") {
      length.remove_suffix(1);
      const std::optional<int> fixed = SizeSuffix(length, "[");
      if (!fixed) return Wrong(path, "has no valid type");
      if (value.size() != static_cast<std::size_t>(*fixed)) {
        return Wrong(path, base::StrCat("has ", value.size(), " elements instead of ", *fixed));
      }
    }
    std::string encoded;
    for (std::size_t i = 0; i < value.size(); ++i) {
      ASSIGN_OR_RETURN(const base::Digest word,
                       Encode(element, value[i], base::StrCat(path, "[", i, "]"), depth + 1));
      encoded += base::AsBytes(word);
    }
    return Keccak256(encoded);
  }

  static absl::StatusOr<base::Digest> EncodeAtom(std::string_view type, const json& value,
                                                 const std::string& path) {
    if (type == "bool") {
      if (!value.is_boolean()) return Wrong(path, "is not true or false");
      base::Digest word{};
      word.back() = value.get<bool>() ? 1 : 0;
      return word;
    }
    const bool is_signed = type.starts_with("int");
    if (const auto bits = SizeSuffix(type, is_signed ? "int" : "uint")) {
      if (*bits > 256 || *bits % 8 != 0) return Wrong(path, "has no valid type");
      absl::StatusOr<base::Digest> word = IntegerWord(value, *bits, is_signed);
      return word.ok() ? word : Wrong(path, base::ToStd(word.status().message()));
    }
    if (!value.is_string()) return Wrong(path, "is not a text");
    const auto& text = value.get_ref<const std::string&>();
    if (type == "string") return Keccak256(text);
    if (type == "address") {
      const absl::StatusOr<EthereumAddress> address = EthereumAddress::Parse(text);
      if (!address.ok()) return Wrong(path, base::ToStd(address.status().message()));
      base::Digest word{};
      std::copy(address->bytes().begin(), address->bytes().end(), word.begin() + 12);
      return word;
    }
    return EncodeBytes(type, text, path);
  }

  static absl::StatusOr<base::Digest> EncodeBytes(std::string_view type, std::string_view text,
                                                  const std::string& path) {
    const std::optional<int> size = SizeSuffix(type, "bytes");
    if (type != "bytes" && (!size || *size > 32)) {
      return Wrong(path, base::StrCat("has the unknown type ", type.substr(0, kNameBytesMax)));
    }
    const std::optional<std::string> bytes =
        text.starts_with("0x") ? base::HexDecode(text) : std::nullopt;
    if (!bytes) return Wrong(path, "is not 0x and pairs of hexadecimal digits");
    if (!size) return Keccak256(*bytes);
    if (bytes->size() != static_cast<std::size_t>(*size)) {
      return Wrong(path, base::StrCat("has ", bytes->size(), " bytes instead of ", *size));
    }
    base::Digest word{};
    std::copy(bytes->begin(), bytes->end(), word.begin());
    return word;
  }

  // Keccak256 of encodeType: the type itself, then all that it refers to in the order of names.
  const base::Digest& TypeHash(const std::string& type) {
    const auto cached = type_hashes_.find(type);
    if (cached != type_hashes_.end()) return cached->second;
    std::set<std::string> referred;
    std::vector<std::string> pending = {type};
    while (!pending.empty()) {
      const std::string name = std::move(pending.back());
      pending.pop_back();
      if (!referred.insert(name).second) continue;
      for (const Field& field : types_.find(name)->second) {
        const std::string base_type(BaseType(field.type));
        if (types_.contains(base_type)) pending.push_back(base_type);
      }
    }
    referred.erase(type);
    std::string encoded = Signature(type);
    for (const std::string& name : referred) encoded += Signature(name);
    return type_hashes_.emplace(type, Keccak256(encoded)).first->second;
  }

  // "Name(type name,type name)".
  std::string Signature(const std::string& type) const {
    std::string text = type + "(";
    for (const Field& field : types_.find(type)->second) {
      if (text.back() != '(') text += ",";
      text += field.type + " " + field.name;
    }
    return text + ")";
  }

  const Types& types_;
  std::map<std::string, base::Digest> type_hashes_;
};

absl::StatusOr<base::Digest> DomainSeparator(const json& domain, const Types& given) {
  if (!domain.is_object()) return Wrong("domain", "is not an object");
  std::vector<Field> fields;
  for (const Field& field : kDomainFields) {
    if (domain.contains(field.name)) fields.push_back(field);
  }
  const auto stated = given.find(kDomainType);
  if (stated != given.end() && stated->second != fields) {
    return Wrong("types.EIP712Domain", "does not name the fields that the domain has");
  }
  const Types types = {{kDomainType, fields}};
  return Encoder(types).HashStruct(kDomainType, domain, "domain", 0);
}

}  // namespace

absl::StatusOr<base::Digest> TypedDataDigest(const json& typed_data) {
  for (const char* key : {"domain", "types", "primaryType", "message"}) {
    if (!typed_data.is_object() || !typed_data.contains(key)) return Wrong(key, "is missing");
  }
  if (!typed_data["primaryType"].is_string()) return Wrong("primaryType", "is not a text");
  ASSIGN_OR_RETURN(const Types types, ParseTypes(typed_data["types"]));
  ASSIGN_OR_RETURN(const base::Digest domain, DomainSeparator(typed_data["domain"], types));
  ASSIGN_OR_RETURN(const base::Digest message,
                   Encoder(types).HashStruct(typed_data["primaryType"].get<std::string>(),
                                             typed_data["message"], "message", 0));
  return Keccak256(
      base::StrCat(std::string_view("\x19\x01"), base::AsBytes(domain), base::AsBytes(message)));
}

absl::StatusOr<std::uint64_t> ReadUint64(const json& value) {
  ASSIGN_OR_RETURN(const base::Digest word, IntegerWord(value, 64, /*is_signed=*/false));
  std::uint64_t number = 0;
  for (std::size_t i = 24; i < word.size(); ++i) number = number << 8 | word[i];
  return number;
}

}  // namespace ncn::signing
