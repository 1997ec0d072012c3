#pragma once

#include <onnxruntime_c_api.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ncn::native {

// An object of ONNX Runtime, which releases it.
template <typename T>
using OrtOwned = std::unique_ptr<T, void (*)(T*)>;

// ONNX Runtime, opened at run time: a program of the build machine meets the library of the image.
// Its C interface is stable between versions and throws nothing. Thread-safe.
class OnnxRuntime {
 public:
  // Opens the library, an absolute path, and registers all operators, quietly. Starts no thread.
  // FailedPrecondition when it is too old.
  static absl::StatusOr<std::unique_ptr<OnnxRuntime>> Open(const std::string& library);

  // Makes a session of a tiny model, runs and drops it, so that a process forked from this one need
  // not do what a first session does.
  absl::Status Rehearse() const;

  const OrtApi& api() const { return api_; }
  const OrtEnv& env() const { return *env_; }
  const std::string& version() const { return version_; }  // "1.21.0"

  // The options of every session: computes with `threads` threads, which never spin.
  absl::StatusOr<OrtOwned<OrtSessionOptions>> MakeOptions(std::uint32_t threads) const;

  // A failure of a call as the status Internal, and its code apart; OK when there is none. Takes
  // `failed`.
  absl::Status ToStatus(OrtStatus* failed, OrtErrorCode* code = nullptr) const;

 private:
  OnnxRuntime(const OrtApi& api, OrtOwned<OrtEnv> env, std::string version)
      : api_(api), env_(std::move(env)), version_(std::move(version)) {}

  const OrtApi& api_;
  const OrtOwned<OrtEnv> env_;
  const std::string version_;
};

// While it lives, nothing that native code writes to stderr arrives: Debian's ONNX Runtime prints
// 116 KB when it registers its operators. For processes of one thread.
class QuietStderr {
 public:
  QuietStderr();
  ~QuietStderr();
  QuietStderr(const QuietStderr&) = delete;
  QuietStderr& operator=(const QuietStderr&) = delete;

 private:
  int kept_ = -1;
};

}  // namespace ncn::native
