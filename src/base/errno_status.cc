#include "base/errno_status.h"

#include <cstring>

#include "base/strings.h"

namespace ncn::base {

absl::Status ErrnoStatus(int error, std::string_view what) {
  return absl::Status(absl::ErrnoToStatusCode(error),
                      base::StrCat(what, ": ",
                                   ::strerrordesc_np(error) != nullptr ? ::strerrordesc_np(error)
                                                                       : "unknown error"));
}

std::string_view ErrnoName(int error) {
  const char* name = ::strerrorname_np(error);
  return name != nullptr ? name : "unknown errno";
}

}  // namespace ncn::base
