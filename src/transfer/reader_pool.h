#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

#include "transfer/http_reader.h"

namespace ncn::transfer {

// The connections that a downloader may have, lent one by one. Thread-safe.
class ReaderPool {
 public:
  // `options` outlives the pool.
  explicit ReaderPool(const DownloaderOptions& options)
      : options_(options), left_(options.connections_max) {}
  ReaderPool(const ReaderPool&) = delete;
  ReaderPool& operator=(const ReaderPool&) = delete;

  // Gives its reader back when destroyed.
  class Loan {
   public:
    Loan(ReaderPool& pool, std::unique_ptr<HttpReader> reader)
        : pool_(&pool), reader_(std::move(reader)) {}
    Loan(Loan&&) noexcept = default;
    ~Loan() {
      if (reader_ != nullptr) pool_->TakeBack(std::move(reader_));
    }
    HttpReader& reader() const { return *reader_; }

   private:
    ReaderPool* pool_;
    std::unique_ptr<HttpReader> reader_;
  };

  // Waits for one; empty when `stop` was requested before.
  std::optional<Loan> Borrow(std::stop_token stop) {
    std::unique_lock lock(mutex_);
    if (!returned_.wait(lock, std::move(stop), [&] { return left_ > 0; })) return std::nullopt;
    --left_;
    // The one used last: its connection is the likeliest to be open.
    std::unique_ptr<HttpReader> reader;
    if (idle_.empty()) {
      reader = std::make_unique<HttpReader>(options_);
    } else {
      reader = std::move(idle_.back());
      idle_.pop_back();
    }
    return Loan(*this, std::move(reader));
  }

 private:
  void TakeBack(std::unique_ptr<HttpReader> reader) {
    {
      std::lock_guard lock(mutex_);
      idle_.push_back(std::move(reader));
      ++left_;
    }
    returned_.notify_one();
  }

  const DownloaderOptions& options_;
  std::mutex mutex_;
  std::condition_variable_any returned_;
  std::vector<std::unique_ptr<HttpReader>> idle_;
  std::size_t left_;
};

}  // namespace ncn::transfer
