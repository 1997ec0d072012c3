#include "native/json_value.h"

namespace ncn::native {

const JsonValue* JsonValue::Find(std::string_view name) const {
  if (!is(Kind::kObject)) return nullptr;
  const Object& members = object();
  for (auto member = members.rbegin(); member != members.rend(); ++member) {
    if (member->first == name) return &member->second;
  }
  return nullptr;
}

std::string_view JsonValue::Describe() const {
  switch (kind()) {
    case Kind::kNull:
      return "nothing";
    case Kind::kBool:
      return "a boolean";
    case Kind::kText:
      return "a text";
    case Kind::kList:
      return "a list";
    case Kind::kObject:
      return "an object";
    default:
      return "a number";
  }
}

}  // namespace ncn::native
