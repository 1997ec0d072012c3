#pragma once

#include <sys/user.h>

#include <string>

#include "absl/status/statusor.h"

namespace ncn::rewind {

// The descriptor on which a child hears and answers requests.
inline constexpr int kConversation = 0;

// Where a held process waits to be released. A process that has this number open cannot be rewound.
inline constexpr int kHeldAt = 3;

// A filter that leaves calls alone which change nothing but memory, or nothing at all, and stops
// the process before every other one, for its tracer to look at. Stacked with the sandbox's own
// filter, which still decides what is allowed. An array of struct sock_filter, raw bytes.
// Without a tracer such a call fails with ENOSYS.
absl::StatusOr<std::string> CompileWatchFilter();

// What a call that the filter stopped at may change.
enum class CallEffect {
  kNothing,
  kLayout,  // Which memory there is, and what may be done with it.

  kAdvice,            // How the kernel treats a range of memory: the first two arguments.
  kDescriptorAdvice,  // How the kernel reads a file ahead: of an open file, and not shown.
  kDescriptors,       // The table of descriptors, positions, flags: they can be compared.
  kUnknown,           // What the kernel keeps and does not show.
};
CallEffect EffectOf(const user_regs_struct& registers);
// The name of the call, for people.
std::string CallName(const user_regs_struct& registers);

}  // namespace ncn::rewind
