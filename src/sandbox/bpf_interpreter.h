#pragma once

#include <linux/seccomp.h>

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace ncn::sandbox {

// Runs a seccomp filter (an array of struct sock_filter) on one system call without the kernel and
// returns its answer, SECCOMP_RET_*. For tests and golden files. InvalidArgument when the program
// is one that the kernel would refuse: unknown instruction, jump or load out of bounds, no return.
absl::StatusOr<std::uint32_t> RunSeccompFilter(std::string_view bpf, const seccomp_data& call);

}  // namespace ncn::sandbox
