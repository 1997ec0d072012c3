#include "native/json_value.h"

#include <algorithm>

namespace ncn::native {

const JsonValue* JsonValue::Find(std::string_view name) const {
  if (!is(Kind::kObject)) return nullptr;
  const Object& members = object();
  const auto last = std::find_if(members.rbegin(), members.rend(),
                                 [&](const Member& member) { return member.first == name; });
  return last == members.rend() ? nullptr : &last->second;
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
