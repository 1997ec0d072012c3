#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "inference/payload.h"

namespace ncn::inference {

inline constexpr std::size_t kPartialBytesMax = 64 * 1024;

// How far an execution is, as its executor says. Not signed, and never part of the result.
struct Progress {
  std::uint32_t done_permille = 0;  // 0 to 1000; 0 when it is not known.
  std::string note;                 // A word on what is going on, for people.
  // What there is of the output so far, which replaces what came before: at most kPartialBytesMax;
  // empty when there is nothing new.
  Payload partial;
};

// Hears of it now and then, on the thread that waits for the executor.
using OnProgress = std::function<void(const Progress&)>;

}  // namespace ncn::inference
