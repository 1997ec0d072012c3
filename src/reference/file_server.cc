#include "reference/file_server.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <thread>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "base/strings.h"
#include "reference/connection_threads.h"
#include "reference/listening.h"

namespace ncn::reference {
namespace {

using httplib::Request;
using httplib::Response;
using std::chrono::steady_clock;

constexpr char kMediaType[] = "application/octet-stream";
constexpr std::size_t kBufferBytes = 256 << 10;
constexpr std::size_t kRangesMax = 16;  // In one request.
constexpr std::size_t kRequestsPerConnectionMax = 1000;
constexpr time_t kKeepAliveSeconds = 3;
constexpr time_t kReadSeconds = 5;          // For a request to arrive.
constexpr std::chrono::seconds kGrace{10};  // Before a transfer must have its lowest rate.

struct HostPort {
  std::string host;
  int port = 0;
};

absl::StatusOr<HostPort> ParseListenAddress(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  HostPort parsed;
  if (colon != std::string::npos) {
    parsed.host = address.substr(0, colon);
    const char* const end = address.data() + address.size();
    const auto [rest, error] = std::from_chars(address.data() + colon + 1, end, parsed.port);
    if (error == std::errc() && rest == end && parsed.port >= 0 && parsed.port <= 65535 &&
        !parsed.host.empty()) {
      if (parsed.host.starts_with('[') && parsed.host.ends_with(']')) {
        parsed.host = parsed.host.substr(1, parsed.host.size() - 2);
      }
      return parsed;
    }
  }
  return absl::InvalidArgumentError(
      base::StrCat("'", address, "' is no HOST:PORT to listen on, such as 127.0.0.1:8080"));
}

// A part of an answer: a text, or so many bytes of the file.
struct Part {
  std::string text;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;

  std::uint64_t bytes() const { return text.empty() ? length : text.size(); }
};

// Gives cpp-httplib the bytes of one answer, part after part.
class Body {
 public:
  Body(FileDepot::OpenFile file, std::vector<Part> parts, std::uint64_t rate_min,
       const std::atomic<bool>& stopping)
      : file_(std::move(file)), parts_(std::move(parts)), rate_min_(rate_min), stopping_(stopping) {
    ::posix_fadvise(file_.fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    for (const Part& part : parts_) bytes_ += part.bytes();
  }

  std::uint64_t bytes() const { return bytes_; }

  // Whether the transfer goes on. cpp-httplib asks in order.
  bool Provide(httplib::DataSink& sink) {
    if (stopping_ || IsTooSlow()) return false;
    while (next_ < parts_.size() && done_ == parts_[next_].bytes()) {
      ++next_;
      done_ = 0;
    }
    if (next_ == parts_.size()) return false;
    const Part& part = parts_[next_];
    if (!part.text.empty()) {
      done_ = part.bytes();
      return sink.write(part.text.data(), part.text.size());
    }
    thread_local std::vector<char> buffer(kBufferBytes);
    const ssize_t got = ::pread(file_.fd.get(), buffer.data(),
                                std::min<std::uint64_t>(buffer.size(), part.length - done_),
                                static_cast<off_t>(part.offset + done_));
    if (got <= 0) return false;
    done_ += static_cast<std::uint64_t>(got);
    sent_ += static_cast<std::uint64_t>(got);
    return sink.write(buffer.data(), static_cast<std::size_t>(got));
  }

 private:
  bool IsTooSlow() const {
    const auto took =
        std::chrono::duration_cast<std::chrono::seconds>(steady_clock::now() - began_);
    return took > kGrace && sent_ / static_cast<std::uint64_t>(took.count()) < rate_min_;
  }

  const FileDepot::OpenFile file_;
  const std::vector<Part> parts_;
  const std::uint64_t rate_min_;
  const std::atomic<bool>& stopping_;
  const steady_clock::time_point began_ = steady_clock::now();
  std::uint64_t bytes_ = 0;
  std::uint64_t sent_ = 0;  // Of the file.
  std::size_t next_ = 0;    // The part under way,
  std::uint64_t done_ = 0;  // and how much of it was given.
};

// The parts of the file that are asked for and exist (RFC 9110, 14.1.2). cpp-httplib 0.11 does not
// do it: it would read beyond the end and state a size of 0 between several ranges.
std::vector<Part> Satisfiable(const httplib::Ranges& asked, std::uint64_t size_bytes) {
  const auto size = static_cast<std::int64_t>(size_bytes);
  std::vector<Part> parts;
  for (const auto& [first, last] : asked) {
    std::int64_t from = first;
    std::int64_t to = last < 0 ? size - 1 : std::min<std::int64_t>(last, size - 1);
    if (first < 0) {  // The last so many bytes.
      if (last <= 0) continue;
      from = std::max<std::int64_t>(size - last, 0);
      to = size - 1;
    }
    if (from > to) continue;
    parts.push_back({.offset = static_cast<std::uint64_t>(from),
                     .length = static_cast<std::uint64_t>(to - from + 1)});
  }
  return parts;
}

std::string ContentRange(const Part& part, std::uint64_t size_bytes) {
  return base::StrCat("bytes ", part.offset, "-", part.offset + part.length - 1, "/", size_bytes);
}

// multipart/byteranges of the file's parts.
std::vector<Part> Multipart(const std::vector<Part>& ranges, std::string_view boundary,
                            std::uint64_t size_bytes) {
  std::vector<Part> parts;
  for (const Part& range : ranges) {
    parts.push_back({.text = base::StrCat(
                         "\r\n--", boundary, "\r\nContent-Type: ", std::string_view(kMediaType),
                         "\r\nContent-Range: ", ContentRange(range, size_bytes), "\r\n\r\n")});
    parts.push_back(range);
  }
  parts.push_back({.text = base::StrCat("\r\n--", boundary, "--\r\n")});
  return parts;
}

}  // namespace

class FileServer::Parts {
 public:
  Parts(const Options& options, FileDepot& depot) : options_(options), depot_(depot) {}

  ~Parts() {
    stopping_ = true;
    server_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Start() {
    ASSIGN_OR_RETURN(const HostPort listen, ParseListenAddress(options_.listen_address));
    host_ = listen.host;
    server_.new_task_queue = [this] { return new ConnectionThreads(options_.connections_max); };
    server_.set_keep_alive_max_count(kRequestsPerConnectionMax);
    server_.set_keep_alive_timeout(kKeepAliveSeconds);
    server_.set_read_timeout(kReadSeconds);
    server_.set_write_timeout(options_.stall_max);
    server_.set_payload_max_length(0);  // No request has a body.
    server_.set_tcp_nodelay(true);
    // Not SO_REUSEPORT, which cpp-httplib sets by itself: two servers on one port would each get
    // a part of the clients.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    server_.Get("/files/([0-9a-f]{64})",
                [this](const Request& request, Response& response) { Answer(request, response); });
    port_ = listen.port;
    const bool bound = port_ == 0 ? (port_ = server_.bind_to_any_port(host_)) > 0
                                  : server_.bind_to_port(host_, port_);
    if (!bound) return CannotListen(options_.listen_address);
    thread_ = std::jthread([this] { server_.listen_after_bind(); });
    return absl::OkStatus();
  }

  int port() const { return port_; }
  std::string address() const {
    return host_.find(':') == std::string::npos ? base::StrCat("http://", host_, ":", port_)
                                                : base::StrCat("http://[", host_, "]:", port_);
  }

 private:
  void Answer(const Request& request, Response& response) {
    const std::string sha256 = request.matches[1];
    auto file = depot_.Get(sha256);
    if (!file.ok()) {
      response.status = absl::IsNotFound(file.status()) ? 404 : 500;
      return;
    }
    const std::string etag = base::StrCat("\"", sha256, "\"");
    response.set_header("ETag", etag);
    response.set_header("Accept-Ranges", "bytes");
    response.set_header("Cache-Control", "public, max-age=31536000, immutable");
    if (request.get_header_value("If-None-Match") == etag) {
      response.status = 304;
      return;
    }
    // cpp-httplib made the request for this call, and would cut the body by them once more.
    httplib::Ranges asked = std::move(const_cast<Request&>(request).ranges);
    const_cast<Request&>(request).ranges.clear();
    if (request.has_header("If-Range") && request.get_header_value("If-Range") != etag) {
      asked.clear();
    }
    Send(*std::move(file), asked, sha256, response);
  }

  void Send(FileDepot::OpenFile file, const httplib::Ranges& asked, const std::string& sha256,
            Response& response) {
    const std::uint64_t size = file.size_bytes;
    std::vector<Part> parts = {{.length = size}};
    std::string type = kMediaType;
    if (!asked.empty()) {
      parts = asked.size() > kRangesMax ? std::vector<Part>() : Satisfiable(asked, size);
      response.status = parts.empty() ? 416 : 206;
      if (parts.empty()) {
        response.set_header("Content-Range", base::StrCat("bytes */", size));
        return;
      }
      if (parts.size() == 1) {
        response.set_header("Content-Range", ContentRange(parts.front(), size));
      } else {
        // No file holds its own hash, so its digits never occur in one by chance.
        type = base::StrCat("multipart/byteranges; boundary=", sha256);
        parts = Multipart(parts, sha256, size);
      }
    } else if (size == 0) {
      return response.set_content("", type);
    }
    auto body = std::make_shared<Body>(std::move(file), std::move(parts),
                                       options_.bytes_per_second_min, stopping_);
    response.set_content_provider(
        body->bytes(), type,
        [body](std::size_t, std::size_t, httplib::DataSink& sink) { return body->Provide(sink); });
  }

  const Options options_;
  FileDepot& depot_;
  std::string host_;
  int port_ = 0;
  std::atomic<bool> stopping_ = false;
  httplib::Server server_;
  std::jthread thread_;
};

absl::StatusOr<std::unique_ptr<FileServer>> FileServer::Start(const Options& options,
                                                              FileDepot& depot) {
  auto parts = std::make_unique<Parts>(options, depot);
  RETURN_IF_ERROR(parts->Start());
  return std::unique_ptr<FileServer>(new FileServer(std::move(parts)));
}

FileServer::FileServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
FileServer::~FileServer() = default;

int FileServer::port() const { return parts_->port(); }
std::string FileServer::address() const { return parts_->address(); }

}  // namespace ncn::reference
