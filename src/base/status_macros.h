#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the enclosing function when `expr` is not OK.
#define RETURN_IF_ERROR(expr)                                                  \
  do {                                                                         \
    if (absl::Status ncn_status = (expr); !ncn_status.ok()) return ncn_status; \
  } while (false)

#define NCN_MACRO_CONCAT_INNER(a, b) a##b
#define NCN_MACRO_CONCAT(a, b) NCN_MACRO_CONCAT_INNER(a, b)

// Assigns the value of a StatusOr to `lhs` (a declaration or an lvalue), or returns its error.
#define ASSIGN_OR_RETURN(lhs, expr) \
  NCN_ASSIGN_OR_RETURN(NCN_MACRO_CONCAT(ncn_status_or_, __LINE__), lhs, expr)
#define NCN_ASSIGN_OR_RETURN(temporary, lhs, expr)           \
  auto temporary = (expr);                                   \
  if (!temporary.ok()) return std::move(temporary).status(); \
  lhs = std::move(temporary).value()
