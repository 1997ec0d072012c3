#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "transfer/downloader.h"
#include "transfer/range_reader.h"

namespace ncn::transfer {

// Reads ranges of files by HTTP. Keeps the connection for the next request to the same server. Not
// thread-safe: one for each connection.
class HttpReader {
 public:
  // `options` outlives the reader.
  explicit HttpReader(const DownloaderOptions& options);
  ~HttpReader();
  HttpReader(const HttpReader&) = delete;
  HttpReader& operator=(const HttpReader&) = delete;

  // Gives `sink` the bytes that `request` asks for, of a `url` that CheckHttpUrl accepts. The whole
  // file is asked for without a range, which any server understands. An answer is read only when it
  // promises what was asked for, and ends where it promised to. Ends at once when `stop` is
  // requested, then with kRetry.
  ReadEnd Read(const std::string& url, const RangeRequest& request, const ByteSink& sink,
               std::stop_token stop);

 private:
  class Exchange;

  const DownloaderOptions& options_;
  struct Handles;
  const std::unique_ptr<Handles> handles_;
};

}  // namespace ncn::transfer
