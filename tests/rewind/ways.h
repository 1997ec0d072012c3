#pragma once

#include <vector>

namespace ncn::rewind {

// One way to pass a bit from one request to the next.
struct Way {
  const char* name;
  void (*prepare)();  // At load time, before the snapshot; may be null.
  void (*plant)();    // In one request,
  bool (*found)();    // and in the next: whether it is there.
};
const std::vector<Way>& Ways();

}  // namespace ncn::rewind
