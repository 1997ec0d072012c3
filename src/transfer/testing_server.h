#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "base/unique_fd.h"
#include "transfer/byte_ranges.h"

namespace ncn::transfer {

// A request that a TestServer has received.
struct TestRequest {
  std::string path;
  std::map<std::string, std::string> headers;  // Names in lower case.

  // "Range: bytes=0-99" as [0, 100).
  std::optional<ByteRange> range() const {
    const auto found = headers.find("range");
    if (found == headers.end()) return std::nullopt;
    char* rest = nullptr;
    const std::uint64_t first = std::strtoull(found->second.c_str() + 6, &rest, 10);
    return ByteRange{first, std::strtoull(rest + 1, nullptr, 10) + 1};
  }
};

// A client's connection to a TestServer, for handlers.
class TestConnection {
 public:
  TestConnection(base::UniqueFd fd, std::stop_token stop)
      : fd_(std::move(fd)), stop_(std::move(stop)) {}

  // Whether the client took it all.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  // A whole answer with its length.
  bool Answer(std::string_view status, std::string_view headers, std::string_view body) {
    return Send(base::StrCat("HTTP/1.1 ", status, "\r\nContent-Length: ", body.size(), "\r\n",
                             headers, "\r\n", body));
  }
  // Closes at the end of this request, as HTTP/1.0 does, or with a reset.
  void Close() { closed_ = true; }
  void Reset() {
    const linger now = {.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    Close();
  }
  // Until the client closes or the server ends.
  void WaitForClient() {
    while (!stop_.stop_requested()) {
      pollfd poll = {.fd = fd_.get(), .events = POLLIN, .revents = 0};
      if (::poll(&poll, 1, 10) > 0) return;
    }
  }

  // The next request; empty at the end of the connection.
  std::optional<TestRequest> Receive() {
    std::size_t end = 0;
    while (!closed_ && (end = pending_.find("\r\n\r\n")) == std::string::npos) {
      char chunk[4096];
      const ssize_t got = ::recv(fd_.get(), chunk, sizeof(chunk), 0);
      if (got <= 0) return std::nullopt;
      pending_.append(chunk, static_cast<std::size_t>(got));
    }
    if (closed_) return std::nullopt;
    TestRequest request = Parse(pending_.substr(0, end + 2));
    pending_.erase(0, end + 4);
    return request;
  }
  int fd() const { return fd_.get(); }

 private:
  static TestRequest Parse(const std::string& head) {
    TestRequest request;
    const std::size_t path = head.find(' ') + 1;
    request.path = head.substr(path, head.find(' ', path) - path);
    for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
      const std::size_t end = head.find("\r\n", at);
      const std::size_t colon = head.find(": ", at);
      std::string name = head.substr(at, colon - at);
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return std::tolower(c); });
      request.headers[name] = head.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
    return request;
  }

  const base::UniqueFd fd_;
  const std::stop_token stop_;
  std::string pending_;
  bool closed_ = false;
};

// An HTTP server on a free port of 127.0.0.1 that does what a test wants it to, well or badly.
class TestServer {
 public:
  using Handler = std::function<void(const TestRequest&, TestConnection&)>;

  explicit TestServer(Handler handler) : handler_(std::move(handler)) {
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_.get(), generic, size) != 0 || ::listen(listener_.get(), 64) != 0 ||
        ::getsockname(listener_.get(), generic, &size) != 0) {
      std::abort();
    }
    port_ = ntohs(address.sin_port);
    accepter_ = std::jthread([this](const std::stop_token& stop) { Accept(stop); });
  }
  ~TestServer() {
    accepter_.request_stop();
    ::shutdown(listener_.get(), SHUT_RDWR);
    accepter_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    connections_.clear();  // Joins them.
  }
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  int port() const { return port_; }
  std::string Url(std::string_view path) const {
    return base::StrCat("http://127.0.0.1:", port_, path);
  }
  std::vector<TestRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void Accept(const std::stop_token& stop) {
    while (true) {
      base::UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (stop.stop_requested()) return;
      if (!fd.valid()) continue;
      const std::lock_guard lock(mutex_);
      open_.push_back(fd.get());
      connections_.emplace_back([this, stop, raw = fd.release()] {
        TestConnection connection{base::UniqueFd(raw), stop};
        while (const std::optional<TestRequest> request = connection.Receive()) {
          {
            const std::lock_guard guard(mutex_);
            requests_.push_back(*request);
          }
          handler_(*request, connection);
        }
        const std::lock_guard guard(mutex_);
        std::erase(open_, raw);
      });
    }
  }

  const Handler handler_;
  base::UniqueFd listener_;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<int> open_;
  std::vector<TestRequest> requests_;
  std::list<std::jthread> connections_;
  std::jthread accepter_;
};

// Answers as a good server does, with ranges.
inline void ServeRanges(const std::string& body, const TestRequest& request,
                        TestConnection& connection) {
  const std::optional<ByteRange> range = request.range();
  if (!range) {
    connection.Answer("200 OK", "", body);
    return;
  }
  connection.Answer("206 Partial Content",
                    base::StrCat("Content-Range: bytes ", range->begin, "-", range->end - 1, "/",
                                 body.size(), "\r\n"),
                    std::string_view(body).substr(range->begin, range->size()));
}

}  // namespace ncn::transfer
