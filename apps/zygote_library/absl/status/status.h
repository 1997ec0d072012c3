#pragma once

// What the zygote's library uses of Abseil's Status, in place of it. The library is loaded into the
// image's Python: Debian's archive of Abseil cannot become part of a shared object (it is built
// without -fPIC), and the image has no shared one of the version that the node is built with. Found
// before the real header by that one target only; see ncn_zygote_library in CMake.

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

namespace absl {

enum class StatusCode {
  kOk,
  kInvalidArgument,
  kDeadlineExceeded,
  kNotFound,
  kPermissionDenied,
  kResourceExhausted,
  kOutOfRange,
  kUnavailable,
  kInternal,
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string_view message) : code_(code), message_(message) {}
  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  std::string_view message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status OkStatus() { return {}; }
inline Status InvalidArgumentError(std::string_view m) { return {StatusCode::kInvalidArgument, m}; }
inline Status DeadlineExceededError(std::string_view m) {
  return {StatusCode::kDeadlineExceeded, m};
}
inline Status ResourceExhaustedError(std::string_view m) {
  return {StatusCode::kResourceExhausted, m};
}
inline Status OutOfRangeError(std::string_view m) { return {StatusCode::kOutOfRange, m}; }
inline StatusCode ErrnoToStatusCode(int) { return StatusCode::kInternal; }

}  // namespace absl
