#pragma once

#include <sys/resource.h>

#include <csignal>

#include "gtest/gtest.h"

namespace ncn::transfer {

// For tests: a limit on the size of files, until it is destroyed, fails like a disk that is full.
class FileSizeLimit {
 public:
  FileSizeLimit() : handler_(std::signal(SIGXFSZ, SIG_IGN)) { ::getrlimit(RLIMIT_FSIZE, &before_); }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  void Set(rlim_t bytes) const {
    const rlimit limit = {.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  }

 private:
  rlimit before_ = {};
  void (*const handler_)(int);
};

}  // namespace ncn::transfer
